"""Leases that are not renewed: which processes of a node have said nothing for a lease's lifetime.

A process counts as heard when it is first seen, so that one that is starting has its whole lifetime.
"""

from __future__ import annotations

from collections.abc import Iterable


class Renewals:
    """By name, when each process of a node was last heard. Times are in seconds of any one clock."""

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        self._heard_s: dict[str, float] = {}

    def present(self, names: Iterable[str], now_s: float) -> None:
        """All processes that there are; the others are forgotten."""
        self._heard_s = {name: self._heard_s.get(name, now_s) for name in names}

    def heard(self, name: str, now_s: float) -> None:
        self._heard_s[name] = now_s

    def expired(self, now_s: float) -> list[str]:
        return [name for name, heard_s in self._heard_s.items() if now_s - heard_s >= self._lifetime_s]
