"""Fragmentation of many rooms at once.

The same numbers as `fragmentation.fragmentation`, by the same integers: a decision compares some hundred
rooms by 64 kinds, which takes plain Python a millisecond and NumPy some microseconds. A room is a row: free
CPUs, free memory, then the free thousandths of each device (0 where there is none).

What is stranded depends on the size of a kind and on which kinds the CPUs and the memory let through: their
weights are summed up before, for every step of CPUs and memory. What is unused takes one pass over the kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .fragmentation import MEBI_BITS, RATE_BITS, STRANDED, UNUSED, WHOLE, rate
from .workload import Kind

Ints = NDArray[np.int64]


BOUNDLESS = 1 << 60


class Potential:
    """Measures rooms on nodes of one GPU model, for the kinds that may go there."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        sizes = sorted({kind.gpus_milli for kind in kinds})
        self._sizes = np.array(sizes, np.int64)
        self._several = np.maximum(1, self._sizes // WHOLE)
        self._on_device = _on_device(sizes)
        self._size_of = np.array([sizes.index(kind.gpus_milli) for kind in kinds], np.intp)
        self._per_cpu, self._cpus_free = _rates(kinds, [kind.cpus_milli for kind in kinds])
        self._per_mebi, self._memory_free = _rates(kinds, [kind.memory_bytes >> MEBI_BITS for kind in kinds])
        self._unused = np.array([kind.weight * UNUSED for kind in kinds], np.int64)
        self._total = sum(kind.weight for kind in kinds) * (STRANDED + UNUSED)
        self._cpus = np.unique(np.array([kind.cpus_milli for kind in kinds], np.int64))
        self._memory = np.unique(np.array([kind.memory_bytes for kind in kinds], np.int64))
        self._through = self._let_through(kinds, sizes)

    def of(self, rooms: Ints) -> Ints:
        """The fragmentation of each row."""
        count = len(self._sizes)
        if not count:
            return np.zeros(len(rooms), np.int64)
        devices, cpus, memory = rooms[:, 2:], rooms[:, 0], rooms[:, 1]
        total = devices.sum(axis=1)
        on_devices = self._on_device.take(devices, axis=0).sum(axis=1)
        copies = on_devices[:, :count] // self._several
        useful = (total[:, None] - on_devices[:, count:]) * (copies > 0)
        steps = self._cpus.searchsorted(cpus, "right"), self._memory.searchsorted(memory, "right")
        stranded = (useful * self._through[steps]).sum(axis=1)
        usable = (copies * self._sizes).T.take(self._size_of, axis=0)  # by kind and room
        np.minimum(usable, (self._per_cpu * cpus >> RATE_BITS) + self._cpus_free, out=usable)
        np.minimum(usable, (self._per_mebi * (memory >> MEBI_BITS) >> RATE_BITS) + self._memory_free, out=usable)
        found: Ints = total * self._total - stranded - self._unused @ usable
        return found

    def packed(self) -> bytes:
        """All tables as 64-bit integers, as `compiled` reads them: lengths and the total first."""
        lengths = [len(self._sizes), len(self._size_of), len(self._cpus), len(self._memory), self._total]
        by_kind = (self._size_of, self._per_cpu, self._cpus_free, self._per_mebi, self._memory_free, self._unused)
        tables = (self._sizes, self._cpus, self._memory, self._through, *by_kind)
        return b"".join(np.ascontiguousarray(table, np.int64).tobytes() for table in (lengths, *tables))

    def _let_through(self, kinds: Sequence[Kind], sizes: list[int]) -> Ints:
        """By step of CPUs, step of memory and size: the weight of the kinds of that size that fit."""
        through = np.zeros((len(self._cpus) + 1, len(self._memory) + 1, len(sizes)), np.int64)
        for kind in kinds:
            cpus, memory = self._cpus.searchsorted(kind.cpus_milli), self._memory.searchsorted(kind.memory_bytes)
            through[cpus + 1 :, memory + 1 :, sizes.index(kind.gpus_milli)] += kind.weight * STRANDED
        return through


def _on_device(sizes: list[int]) -> Ints:
    """By what is free on a device: how many of each size it holds, then what of it each size leaves out."""
    free = np.arange(WHOLE + 1, dtype=np.int64)[:, None]
    each = np.minimum(np.array(sizes, np.int64), WHOLE)
    return np.hstack([free // each, np.where(free < each, free, 0)])


def _rates(kinds: Sequence[Kind], needs: list[int]) -> tuple[Ints, Ints]:
    """By kind, as columns: thousandths of a GPU for each unit of the need; BOUNDLESS where it has none."""
    pairs = list(zip(kinds, needs, strict=True))
    rates = [[rate(kind.gpus_milli, need) if need else 0] for kind, need in pairs]
    return np.array(rates, np.int64), np.array([[0 if need else BOUNDLESS] for need in needs], np.int64)
