"""Fragmentation of many rooms at once.

The same numbers as `fragmentation.fragmentation`, by the same integers: a decision compares some hundred
rooms by 64 kinds, which takes plain Python a millisecond and NumPy some microseconds. A room is a row: free
CPUs, free memory, then the free thousandths of each device (0 where there is none).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .fragmentation import STRANDED, UNUSED, WHOLE
from .workload import Kind

Ints = NDArray[np.int64]
BOUNDLESS = 1 << 62


class Potential:
    """Measures rooms on nodes of one GPU model, for the kinds that may go there."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        sizes = sorted({kind.gpus_milli for kind in kinds})
        self._several = np.array([size // WHOLE if size > WHOLE else 1 for size in sizes], np.int64)
        self._sizes = np.array(sizes, np.int64)
        self._table = _table(sizes)
        self._of_kind = np.array([sizes.index(kind.gpus_milli) for kind in kinds], np.intp)
        self._size = np.array([kind.gpus_milli for kind in kinds], np.int64)
        self._weight = np.array([kind.weight for kind in kinds], np.int64)
        self._total_weight = int(self._weight.sum()) * (STRANDED + UNUSED)
        needs = [(kind.cpus_milli, kind.memory_bytes) for kind in kinds]
        self._cpus, self._memory = (np.array([need[i] for need in needs], np.int64) for i in (0, 1))
        self._per_cpu, self._per_memory = np.maximum(self._cpus, 1), np.maximum(self._memory, 1)
        self._no_cpu, self._no_memory = (np.where(need == 0, BOUNDLESS, 0) for need in (self._cpus, self._memory))
        self._stranded, self._unused = self._weight * STRANDED, self._weight * UNUSED

    def of(self, rooms: Ints) -> Ints:
        """The fragmentation of each row."""
        if not len(self._weight):
            return np.zeros(len(rooms), np.int64)
        devices = rooms[:, 2:]
        total = devices.sum(axis=1)
        counted = self._table[devices].sum(axis=1)
        count = len(self._sizes)
        copies = counted[:, :count] // self._several
        usable = (copies * self._sizes)[:, self._of_kind]
        useful = total[:, None] - counted[:, count:]  # what of the devices the next one could use
        useful = np.where(copies > 0, useful, 0)[:, self._of_kind]
        cpus, memory = rooms[:, :1], rooms[:, 1:2]
        useful *= (cpus >= self._cpus) & (memory >= self._memory)
        np.minimum(usable, cpus * self._size // self._per_cpu + self._no_cpu, out=usable)
        np.minimum(usable, memory * self._size // self._per_memory + self._no_memory, out=usable)
        found: Ints = total * self._total_weight - useful @ self._stranded - usable @ self._unused
        return found


def _table(sizes: list[int]) -> Ints:
    """By what is free on a device: how many of each size it holds, then what of it each size leaves out."""
    free = np.arange(WHOLE + 1, dtype=np.int64)[:, None]
    each = np.minimum(np.array(sizes, np.int64), WHOLE)
    return np.hstack([free // each, np.where(free < each, free, 0)])
