"""For each shape of demand what its placement would add to the fragmentation of each node: the lines of a board.

A line that is asked looks again only at the rooms that changed since it was asked last. `NumpyLines` looks at them
all at once; `compiled` holds the same in C, one after the other, and is taken where it was built: a decision looks
at a dozen rooms, for which NumPy's own cost per call is the most of it. Both give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .node import WHOLE
from .placings import Asked, after_each
from .potential import Ints, Potential

try:
    from . import compiled
except ImportError:  # no compiler where this was installed
    compiled = None  # type: ignore[assignment]

__all__ = ["Lines", "NumpyLines", "compiled", "compiled_lines", "lines"]

FULL = 1 << 62
LOG_MAX = 16_384
FEW = 24


class Lines(Protocol):
    def write(self, slot: int, cpus: int, memory: int, devices: list[int], /) -> None:
        """Takes down what a room has now: -1 CPUs where nothing may be placed."""

    def open(self, number: int, cpus: int, memory: int, gpus_milli: int, ranks: int, allowed: bytes, /) -> None:
        """A new line at this number: CPUs and memory of the whole gang, GPU of each rank, a byte for each room."""

    def best(self, number: int, /) -> tuple[int, int] | None:
        """The first of the rooms where the line adds least, and the device to share or -1; None where none fits."""


def lines(rooms: Ints, potential_of: Ints, potentials: list[Potential]) -> Lines:
    """Over these rooms (rows, written to from now on): which potential measures each."""
    if compiled is None:
        return NumpyLines(rooms, potential_of, potentials)
    return compiled_lines(rooms, potential_of, potentials)


def compiled_lines(rooms: Ints, potential_of: Ints, potentials: list[Potential]) -> Lines:
    return compiled.Lines(rooms, potential_of.tobytes(), [potential.packed() for potential in potentials])


@dataclass(slots=True)
class Line:
    """`added`: by room; `device`: the one to share; `allowed`: rooms of the right model; `seen`: of the log."""

    asked: Asked
    added: Ints
    device: Ints
    allowed: NDArray[np.bool_]
    seen: int = -1


class NumpyLines:
    def __init__(self, rooms: Ints, potential_of: Ints, potentials: list[Potential]) -> None:
        self._rooms, self._potential_of, self._potentials = rooms, potential_of, potentials
        self._brief = [(int(room[0]), int(room[1]), int(room[2:].max(initial=0))) for room in rooms]
        self._amount = np.zeros(len(rooms), np.int64)  # the fragmentation of each, where measured
        self._measured = np.zeros(len(rooms), np.bool_)
        self._log: list[int] = []  # slots that changed; the first `_dropped` are forgotten
        self._dropped = 0
        self._lines: dict[int, Line] = {}

    def write(self, slot: int, cpus: int, memory: int, devices: list[int], /) -> None:
        free = devices + [0] * (self._rooms.shape[1] - 2 - len(devices))
        self._rooms[slot] = [cpus, memory, *free]
        self._brief[slot] = (cpus, memory, max(free, default=0))
        self._measured[slot] = False
        if len(self._log) == LOG_MAX:
            del self._log[: LOG_MAX // 2]
            self._dropped += LOG_MAX // 2
        self._log.append(slot)

    def open(self, number: int, cpus: int, memory: int, gpus_milli: int, ranks: int, allowed: bytes, /) -> None:
        count = len(self._rooms)
        rooms = np.frombuffer(allowed, np.bool_)
        asked = Asked(cpus, memory, gpus_milli, ranks)
        self._lines[number] = Line(asked, np.full(count, FULL), np.zeros(count, np.int64), rooms)

    def best(self, number: int, /) -> tuple[int, int] | None:
        line = self._lines[number]
        now = self._dropped + len(self._log)
        if line.seen < self._dropped:
            self._refresh(line, np.arange(len(self._rooms)))
        elif line.seen < now:
            self._refresh(line, self._worth(line, dict.fromkeys(self._log[line.seen - self._dropped :])))
        line.seen = now
        slot = int(line.added.argmin()) if len(line.added) else -1
        return None if slot < 0 or line.added[slot] == FULL else (slot, int(line.device[slot]))

    def _worth(self, line: Line, changed: dict[int, None]) -> NDArray[np.intp]:
        """The changed slots that may have the room; where they are few, those that plainly do not are struck."""
        if len(changed) > FEW:
            return np.array(list(changed), np.intp)
        asked = line.asked
        most = min(asked.gpus_milli, WHOLE)
        worth = []
        for slot in changed:
            room = self._brief[slot]
            if room[0] >= asked.cpus and room[1] >= asked.memory and room[2] >= most:
                worth.append(slot)
            else:
                line.added[slot] = FULL
        return np.array(worth, np.intp)

    def _refresh(self, line: Line, slots: NDArray[np.intp]) -> None:
        if not len(slots):
            return
        line.added[slots] = FULL
        slots = slots[line.allowed[slots]]
        found = after_each(self._rooms[slots], line.asked)
        if not len(found.row):
            return
        owners = slots[found.row]
        added = self._added(found.rooms, owners)
        if len(owners) > 1 and 0 < line.asked.gpus_milli < WHOLE:
            order = np.lexsort((found.device, added))[::-1]  # of each node's choices the best is written last
            owners, added, device = owners[order], added[order], found.device[order]
        else:
            device = found.device
        line.added[owners] = added
        line.device[owners] = device

    def _added(self, after: Ints, owners: NDArray[np.intp]) -> Ints:
        """What each would add; rooms that were not measured are, in the same pass."""
        unknown = owners[~self._measured[owners]]
        if not len(unknown):
            return self._measure(after, owners) - self._amount[owners]
        both = self._measure(np.concatenate((after, self._rooms[unknown])), np.concatenate((owners, unknown)))
        self._amount[unknown] = both[len(owners) :]
        self._measured[unknown] = True
        return both[: len(owners)] - self._amount[owners]

    def _measure(self, rooms: Ints, slots: NDArray[np.intp]) -> Ints:
        if len(self._potentials) == 1:
            return self._potentials[0].of(rooms)
        found = np.zeros(len(rooms), np.int64)
        which = self._potential_of[slots]
        for number, potential in enumerate(self._potentials):
            mine = np.flatnonzero(which == number)
            if len(mine):
                found[mine] = potential.of(rooms[mine])
        return found
