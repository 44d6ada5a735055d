"""How processes of an attempt are known: by a word in the environment that its worker hands down to its children."""

from __future__ import annotations

from typing import Final

VARIABLE: Final = "HEADWATER_ATTEMPT"


def mark_of(step_id: str, fence: int) -> str:
    """One attempt and no other, of any platform."""
    return f"{step_id}:{fence}"
