"""What each node borrowed lately: yesterday's heavy user stands behind. Exact integers, kept over restarts.

For each node and flavour there is an integral of what was borrowed over time, in which what is one half-life old counts
half. It is settled where the use of the node changes, and decays in TICKS equal ticks of a half-life, so that between
two ticks shares compare by numbers that stand still. Divided by the half-life and multiplied by ln 2 it is the use
that, kept up for ever, would have led to it: that much more is a borrower's share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

TICKS = 64  # of a half-life
BITS = 32
DECAY = 4_248_701_965  # 2^(32 - 1/64): what a tick leaves, in 2^-32
LN2 = 2_977_044_472  # ln 2 in 2^-32
KEPT_MAX = 8 * TICKS  # ticks after which nothing is left that counts
MEBI_BITS = 20
UNKNOWN = -1

Past = dict[str, dict[str, int]]  # by path of the node and flavour: units by seconds; memory in MiB


class HalfLife:
    """`borrowed` gives what a node borrows of a flavour now. Times are rounded down to seconds."""

    def __init__(self, half_life_s: int, paths: list[str], flavours: tuple[str, ...]) -> None:
        self.half_life_s, self._paths, self._flavours = half_life_s, paths, flavours
        self.tick_s = max(1, half_life_s // TICKS)
        self.sums: list[dict[str, int]] = [{} for _ in paths]
        self._standing = self.sums  # as of the last tick: what shares are compared by
        self._settled_s = [0] * len(paths)
        self.ticked_s = UNKNOWN  # a multiple of tick_s
        self.now_s = 0

    def load(self, past: Mapping[str, Mapping[str, int]], at_s: int) -> None:
        """What was kept as of then; nodes that are not there any more are forgotten."""
        if at_s == UNKNOWN:
            return
        self.ticked_s = self.now_s = at_s - at_s % self.tick_s
        self._settled_s = [self.ticked_s] * len(self._paths)
        for index, path in enumerate(self._paths):
            kept = past.get(path, {})
            self.sums[index] = {flavour: kept[flavour] for flavour in self._flavours if kept.get(flavour)}
        self._standing = [dict(sums) for sums in self.sums]

    def kept(self) -> Past:
        """What `load` reads back, as of `ticked_s`."""
        return {path: dict(sums) for path, sums in zip(self._paths, self._standing, strict=True) if sums}

    def due(self, now_s: int) -> bool:
        return now_s >= self.ticked_s + self.tick_s

    def settle(self, node: int, borrowed: Callable[[int, str], int]) -> None:
        """Counts what the node has borrowed since it was settled last, before that changes."""
        spent_s = self.now_s - self._settled_s[node]
        if spent_s > 0:
            for flavour in self._flavours:
                amount = _grains(flavour, borrowed(node, flavour))
                if amount > 0:
                    self.sums[node][flavour] = self.sums[node].get(flavour, 0) + amount * spent_s
            self._settled_s[node] = self.now_s

    def tick(self, now_s: int, borrowed: Callable[[int, str], int]) -> None:
        """Settles every node tick by tick until now, each decaying what was before."""
        begins_s = now_s - now_s % self.tick_s - (0 if self.ticked_s == UNKNOWN else KEPT_MAX * self.tick_s)
        if self.ticked_s < begins_s:  # the first of all, or after so long that nothing is left of what was
            self.ticked_s, self.sums = begins_s, [{} for _ in self._paths]
            self._settled_s = [max(begins_s, each) for each in self._settled_s]
        while self.due(now_s):
            self.ticked_s = self.now_s = self.ticked_s + self.tick_s
            for node, sums in enumerate(self.sums):
                self.settle(node, borrowed)
                left = ((flavour, amount * DECAY >> BITS) for flavour, amount in sums.items())
                self.sums[node] = {flavour: amount for flavour, amount in left if amount}
            self._standing = [dict(sums) for sums in self.sums]
        self.now_s = max(self.now_s, now_s)

    def lately(self, node: int, flavour: str) -> int:
        """The use, kept up for ever, that the past of the node stands for."""
        found = self._standing[node].get(flavour, 0) * LN2 // (self.half_life_s << BITS)
        return found << MEBI_BITS if flavour == "memory" else found


def _grains(flavour: str, amount: int) -> int:
    return amount >> MEBI_BITS if flavour == "memory" else amount
