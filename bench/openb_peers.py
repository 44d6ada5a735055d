"""What the `openb` bench is measured beside: BestFit and FGD as their simulator has them, in plain NumPy.

Both look at every node for every task. FGD's score is the paper's: the expected GPU share that the next typical
task could not use, before minus after, squashed by a sigmoid to whole numbers from 0 to 100; of equal scores
the first node by name is taken. Typical are the commonest tasks that make up 95 % of all, by CPUs and GPUs.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from headwater.quota.messages import Demand, NodeSpec
from headwater.quota.placement.placings import after_each, asked_of

Ints = NDArray[np.int64]
WHOLE, POPULAR = 1000, 0.95


class Peer:
    def __init__(self, specs: list[NodeSpec]) -> None:
        widest = max(len(spec.devices) for spec in specs)
        rows = [
            [spec.cpus_milli, spec.memory_bytes, *(WHOLE if n < len(spec.devices) else 0 for n in range(widest))]
            for spec in sorted(specs, key=lambda spec: spec.id)
        ]
        self._rooms = np.array(rows, np.int64)

    def place(self, demand: Demand) -> bool:
        found = after_each(self._rooms, asked_of(demand))
        if not len(found.row):
            return False
        at = self.choose(found.row, found.rooms)
        self._rooms[found.row[at]] = found.rooms[at]
        return True

    def choose(self, nodes: NDArray[np.intp], after: Ints) -> int:
        raise NotImplementedError


class BestFit(Peer):
    def choose(self, nodes: NDArray[np.intp], after: Ints) -> int:
        """The least left of CPUs and GPUs together, by the largest node's; then the fullest device."""
        left = after[:, 0] / 128_000 + after[:, 2:].sum(axis=1) / 8_000
        spread = (after[:, 2:] ** 2).sum(axis=1)
        return int(np.lexsort((-spread, left))[0])


class Fgd(Peer):
    def __init__(self, specs: list[NodeSpec], tasks: list[Demand]) -> None:
        super().__init__(specs)
        counts = Counter((task.cpus_milli, task.gpus_milli) for task in tasks).most_common()
        total, seen, kept = len(tasks), 0, 0
        while seen < total * POPULAR:
            seen, kept = seen + counts[kept][1], kept + 1
        self._all = seen
        kinds = [(cpus, gpus, count) for (cpus, gpus), count in counts[:kept] if gpus]
        self._cpus, self._gpus, self._weight = (np.array(column, np.int64) for column in zip(*kinds, strict=True))
        self._now = self._fragmentation(self._rooms)

    def choose(self, nodes: NDArray[np.intp], after: Ints) -> int:
        would_be = self._fragmentation(after)
        gained = (self._now[nodes] - would_be) / self._all / WHOLE
        at = int((100 / (1 + np.exp(-gained))).astype(np.int64).argmax())
        self._now[nodes[at]] = would_be[at]
        return at

    def _fragmentation(self, rooms: Ints) -> Ints:
        unlike, back = np.unique(np.delete(rooms, 1, axis=1), axis=0, return_inverse=True)
        devices, each = unlike[:, 1:], np.minimum(self._gpus, WHOLE)
        total = devices.sum(axis=1)[:, None]
        enough = devices[:, :, None] >= each
        fits = (unlike[:, :1] >= self._cpus) & (enough.sum(axis=1) * WHOLE >= np.maximum(self._gpus, WHOLE))
        lost = np.where(fits, (devices[:, :, None] * ~enough).sum(axis=1), total)
        found: Ints = (lost @ self._weight)[back.reshape(-1)]
        return found
