"""The best node for each shape of demand, kept ready.

Each shape (a demand, with the GPU models it may use) has a line: what its placement would add to the
fragmentation of each node, and FULL where it does not fit. A change touches one node; a line that is asked
looks again only at the nodes that changed since it was last asked, so a decision costs what changed and not
what there is. Nodes stand in the order of their ids and the first of the best is taken, so that the same
picture gives the same place. Nothing here is truth: all of it follows from the inventory and the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..messages import Demand
from .node import WHOLE, Device, Node
from .placings import after_each, ranks_held
from .potential import Ints, Potential
from .workload import Kind

FULL = 1 << 62
LINES_MAX = 512
LOG_MAX = 16_384
OUT = -1
FEW = 24
Shape = tuple[Demand, tuple[str, ...]]


@dataclass(slots=True)
class Line:
    """`added`: by node; `device`: the one to share; `allowed`: nodes of the right model; `seen`: of the log."""

    added: Ints
    device: Ints
    allowed: NDArray[np.bool_]
    seen: int


class Board:
    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._touched: dict[str, None] = {}
        self._kinds: tuple[Kind, ...] = ()
        self._log: list[int] = []  # slots that changed; the first `_dropped` are forgotten
        self._dropped = 0
        self._lines: dict[Shape, Line] = {}
        self._begin()

    def touch(self, node_id: str) -> None:
        """The node changed, came or went."""
        self._touched[node_id] = None

    def best(self, demand: Demand, models: tuple[str, ...], kinds: tuple[Kind, ...]) -> tuple[str, int] | None:
        """The node for the whole gang, and which of its devices to share; None where none has the room.

        `models` are not looked at where the demand is for no GPU.
        """
        self._follow(kinds)
        if not self._ids:
            return None
        line = self._line((demand, models if demand.gpus_milli else ()))
        slot = int(line.added.argmin())
        return None if line.added[slot] == FULL else (self._ids[slot], int(line.device[slot]))

    def held(self, demand: Demand, models: tuple[str, ...], kinds: tuple[Kind, ...]) -> dict[str, int]:
        """How many ranks of the demand each node holds now; nodes that hold none are left out."""
        self._follow(kinds)
        ranks = ranks_held(self._rooms, demand)
        if demand.gpus_milli:
            ranks *= np.array([model in models for model in self._models], np.bool_)
        return {self._ids[slot]: int(ranks[slot]) for slot in np.flatnonzero(ranks)}

    def _follow(self, kinds: tuple[Kind, ...]) -> None:
        """Takes in what was touched. A new node or model means to begin anew, a distribution to measure anew."""
        if any(self._is_new(node_id) for node_id in self._touched):
            self._kinds = kinds
            self._begin()
        elif kinds is not self._kinds:
            self._kinds = kinds
            self._measure_anew()
        for node_id in self._touched:
            slot = self._slots.get(node_id)
            if slot is not None:
                self._write(slot, self._nodes.get(node_id))
                self._log.append(slot)
        self._touched.clear()
        if len(self._log) > LOG_MAX:
            forgotten = LOG_MAX // 2
            del self._log[:forgotten]
            self._dropped += forgotten

    def _is_new(self, node_id: str) -> bool:
        node = self._nodes.get(node_id)
        if node is None:
            return False
        slot = self._slots.get(node_id)
        return slot is None or node.spec.gpu_model != self._models[slot] or len(node.devices) > self._widest

    def _begin(self) -> None:
        self._ids = sorted(self._nodes)
        self._slots = {node_id: slot for slot, node_id in enumerate(self._ids)}
        self._models = [self._nodes[node_id].spec.gpu_model for node_id in self._ids]
        self._widest = max((len(node.devices) for node in self._nodes.values()), default=0)
        self._rooms = np.zeros((len(self._ids), 2 + self._widest), np.int64)
        self._brief = [(0, 0, 0)] * len(self._ids)  # CPUs, memory, most free on one device
        self._measure_anew()
        self._touched.clear()
        for slot, node_id in enumerate(self._ids):
            self._write(slot, self._nodes[node_id])

    def _measure_anew(self) -> None:
        self._amount = np.zeros(len(self._ids), np.int64)  # the fragmentation of each node, where measured
        self._measured = np.zeros(len(self._ids), np.bool_)
        self._choose_potentials()
        self._log.clear()
        self._dropped = 0
        self._lines.clear()

    def _choose_potentials(self) -> None:
        """One for each different choice of kinds; `_potential_of` says which, by node."""
        numbers: dict[tuple[Kind, ...], int] = {}
        by_model: dict[str, int] = {}
        for model in sorted(set(self._models)):
            kinds = tuple(kind for kind in self._kinds if kind.gpu_model in (None, model))
            by_model[model] = numbers.setdefault(kinds, len(numbers))
        self._potentials = [Potential(kinds) for kinds in numbers]
        self._potential_of = np.array([by_model[model] for model in self._models], np.int64)

    def _write(self, slot: int, node: Node | None) -> None:
        self._measured[slot] = False
        if node is None or not node.in_service:
            self._rooms[slot] = OUT
            self._brief[slot] = (OUT, OUT, OUT)
            return
        free = [_free(device) for device in node.devices.values()]
        free += [0] * (self._widest - len(free))
        cpus, memory = max(0, node.cpus_free), max(0, node.memory_free)
        self._rooms[slot] = [cpus, memory, *free]
        self._brief[slot] = (cpus, memory, max(free, default=0))

    def _line(self, shape: Shape) -> Line:
        now = self._dropped + len(self._log)
        line = self._lines.get(shape)
        if line is None or line.seen < self._dropped:
            slots = np.arange(len(self._ids))
            line = self._lines[shape] = line or self._new_line(shape[1])
            if len(self._lines) > LINES_MAX:
                del self._lines[next(iter(self._lines))]
        elif line.seen < now:
            slots = self._worth(line, shape[0], dict.fromkeys(self._log[line.seen - self._dropped :]))
        else:
            return line
        line.seen = now
        self._refresh(line, shape[0], slots)
        return line

    def _new_line(self, models: tuple[str, ...]) -> Line:
        count = len(self._ids)
        allowed = np.array([not models or model in models for model in self._models], np.bool_)
        return Line(np.full(count, FULL), np.zeros(count, np.int64), allowed, 0)

    def _worth(self, line: Line, demand: Demand, changed: dict[int, None]) -> NDArray[np.intp]:
        """The changed slots that may have the room; where they are few, those that plainly do not are struck."""
        if len(changed) > FEW:
            return np.array(list(changed), np.intp)
        cpus, memory, most = demand.cpus_milli, demand.memory_bytes, min(demand.gpus_milli, WHOLE)
        worth = []
        for slot in changed:
            room = self._brief[slot]
            if room[0] >= cpus and room[1] >= memory and room[2] >= most:
                worth.append(slot)
            else:
                line.added[slot] = FULL
        return np.array(worth, np.intp)

    def _refresh(self, line: Line, demand: Demand, slots: NDArray[np.intp]) -> None:
        if not len(slots):
            return
        line.added[slots] = FULL
        slots = slots[line.allowed[slots]]
        found = after_each(self._rooms[slots], demand)
        if not len(found.row):
            return
        owners = slots[found.row]
        added = self._added(found.rooms, owners)
        if len(owners) > 1 and 0 < demand.gpus_milli < WHOLE:
            order = np.lexsort((found.device, added))[::-1]  # of each node's choices the best is written last
            owners, added, device = owners[order], added[order], found.device[order]
        else:
            device = found.device
        line.added[owners] = added
        line.device[owners] = device

    def _added(self, after: Ints, owners: NDArray[np.intp]) -> Ints:
        """What each would add; nodes that were not measured are, in the same pass."""
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


def _free(device: Device) -> int:
    if device.quarantined:
        return 0
    return min(max(0, device.free), WHOLE - 1 if device.holders else WHOLE)
