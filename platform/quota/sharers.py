"""Who has a part in a place: attempts that go along with the one that it was leased to, or go on after it.

    leased ──joined by others──► shared ──the last is over──► free
                                   ▲  └──the last is over, kept──► kept ──left, or forgotten──► free
                                   └────────the next joins──────────┘

A place is kept by the Conductor, which says when it leaves it, and after a restart that it has left all. Where it stays
away the place is free after a while.
"""

from __future__ import annotations

from typing import Final

from .undo import Undo

FORGOTTEN_US: Final = 10_000_000


class Sharers:
    """By fence. A place is named by the fence of the attempt that it was leased to."""

    def __init__(self, undo: Undo) -> None:
        self._undo = undo
        self._place_of: dict[int, int] = {}
        self._left: dict[int, int] = {}  # how many have a part in each place
        self._kept: dict[int, int] = {}  # place → since when nobody has

    def join(self, place: int, fence: int) -> None:
        """The attempt has a part in what another holds, or held before it."""
        if fence in self._place_of:
            return
        if place in self._kept:
            self._undo.pop(self._kept, place)
        self._undo.put(self._place_of, fence, place)
        self._undo.put(self._left, place, self._left.get(place, 0) + 1)

    def begin(self, place: int) -> None:
        """The attempt that it was leased to has a part in it, where the place is not shared or kept yet."""
        if place not in self._left:
            self.join(place, place)

    def last_of(self, fence: int) -> int | None:
        """The place that nobody has a part in once this attempt is over; None while others have."""
        if fence not in self._place_of:
            return None if fence in self._left else fence
        place = self._undo.pop(self._place_of, fence)
        left = self._left[place] - 1
        if left:
            self._undo.put(self._left, place, left)
            return None
        self._undo.pop(self._left, place)
        return place

    def keep(self, place: int, now_us: int) -> None:
        """Nobody has a part in it now; the next may."""
        self._undo.put(self._left, place, 0)
        self._undo.put(self._kept, place, now_us)

    def leave(self, place: int) -> bool:
        """Whether the place was kept, and is free."""
        if place not in self._kept:
            return False
        self._undo.pop(self._kept, place)
        self._undo.pop(self._left, place)
        return True

    def kept(self) -> list[int]:
        """The places that nobody has a part in now."""
        return list(self._kept)

    def forgotten(self, now_us: int) -> list[int]:
        """Places of which nothing was heard for long: whoever kept them is gone."""
        return [place for place, since_us in self._kept.items() if now_us >= since_us + FORGOTTEN_US]

    def wakes_us(self) -> int | None:
        """When the next of them would be."""
        return min(self._kept.values()) + FORGOTTEN_US if self._kept else None
