"""How many a command replays."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.core.replays import REPLAYED_AT_ONCE, replays_in


@pytest.mark.parametrize(
    ("kind", "data", "count"),
    [
        ("letter.replay", {"ids": ["a", "b"]}, 2),
        ("letter.replay", {"ids": []}, 0),
        ("letter.discard", {"ids": ["a"]}, 0),
        ("event.replay", {"flow": "eta/f", "type": "x"}, REPLAYED_AT_ONCE),
        ("event.replay", {"flow": "eta/f", "ids": ["a"]}, 1),
        ("event.replay", {"flow": "eta/f", "type": "x", "dry_run": True}, 0),
        ("event.replay", {"ids": ["a"] * 1_000}, REPLAYED_AT_ONCE),
        ("event.replay", None, 0),
        ("run.start", {"ids": ["a"]}, 0),
    ],
)
def test_a_command_replays_what_it_names_or_a_page(kind: str, data: Any, count: int) -> None:
    assert replays_in(kind, data) == count
