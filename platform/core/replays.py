"""How many of what was taken in or set aside a command takes up again: so many go by at a pace."""

from __future__ import annotations

from typing import Final

from ..wire.terms import JSON

REPLAYED_AT_ONCE: Final = 100  # at most, by one command


def replays_in(kind: str, data: JSON) -> int:
    """0 of a command that replays nothing, or only counts."""
    if kind not in ("letter.replay", "event.replay") or not isinstance(data, dict) or data.get("dry_run"):
        return 0
    ids = data.get("ids")
    named = len(ids) if isinstance(ids, list | tuple) else 0
    return min(named, REPLAYED_AT_ONCE) if named or kind == "letter.replay" else REPLAYED_AT_ONCE
