"""The best node for each shape of demand, kept ready.

Each shape (a demand, with the GPU models it may use) has a line (`lines`): what its placement would add to the
fragmentation of each node. A change touches one node; a line that is asked looks again only at the nodes that
changed since it was last asked, so a decision costs what changed and not what there is. Nodes stand in the order
of their ids and the first of the best is taken, so that the same picture gives the same place. Nothing here is
truth: all of it follows from the inventory and the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..messages import Demand
from .lines import Lines, lines
from .node import Node
from .placings import asked_of, ranks_held
from .potential import Ints, Potential
from .workload import Kind

LINES_MAX = 512
Shape = tuple[Demand, tuple[str, ...]]
Making = Callable[[Ints, Ints, list[Potential]], Lines]


class Board:
    def __init__(self, nodes: Mapping[str, Node], *, made_by: Making = lines) -> None:
        self._nodes, self._made_by = nodes, made_by
        self._touched: dict[str, None] = {}
        self._kinds: tuple[Kind, ...] = ()
        self._numbers: dict[Shape, int] = {}  # of the lines
        self._begin()

    def touch(self, node_id: str) -> None:
        """The node changed, came or went."""
        self._touched[node_id] = None

    def best(self, demand: Demand, models: tuple[str, ...], kinds: tuple[Kind, ...]) -> tuple[str, int] | None:
        """The node for the whole gang, and which of its devices to share; None where none has the room.

        `models` are not looked at where the demand is for no GPU.
        """
        self._follow(kinds)
        shape = (demand, models if demand.gpus_milli else ())
        number = self._numbers.get(shape)
        found = self._lines.best(self._open(shape) if number is None else number)
        return None if found is None else (self._ids[found[0]], found[1])

    def held(self, demand: Demand, models: tuple[str, ...], kinds: tuple[Kind, ...]) -> dict[str, int]:
        """How many ranks of the demand each node holds now; nodes that hold none are left out."""
        self._follow(kinds)
        ranks = ranks_held(self._rooms, demand)
        if demand.gpus_milli:
            ranks *= np.array([model in models for model in self._models], np.bool_)
        return {self._ids[slot]: int(ranks[slot]) for slot in np.flatnonzero(ranks)}

    def _follow(self, kinds: tuple[Kind, ...]) -> None:
        """Takes in what was touched. A new node or model means to begin anew, a distribution to measure anew."""
        if kinds is not self._kinds:
            self._kinds = kinds
            self._measure_anew()
        nodes, slots = self._nodes, self._slots
        for node_id in self._touched:
            node, slot = nodes.get(node_id), slots.get(node_id)
            if node is not None and (slot is None or self._is_another(node, slot)):
                self._begin()
                return
            if slot is not None:
                self._write(slot, node)
        self._touched.clear()

    def _is_another(self, node: Node, slot: int) -> bool:
        return len(node.devices) > self._widest or node.spec.gpu_model != self._models[slot]

    def _begin(self) -> None:
        self._ids = sorted(self._nodes)
        self._slots = {node_id: slot for slot, node_id in enumerate(self._ids)}
        self._models = [self._nodes[node_id].spec.gpu_model for node_id in self._ids]
        self._widest = max((len(node.devices) for node in self._nodes.values()), default=0)
        self._rooms = np.zeros((len(self._ids), 2 + self._widest), np.int64)
        self._measure_anew()
        self._touched.clear()
        for slot, node_id in enumerate(self._ids):
            self._write(slot, self._nodes[node_id])

    def _measure_anew(self) -> None:
        """One potential for each different choice of kinds."""
        numbers: dict[tuple[Kind, ...], int] = {}
        by_model: dict[str, int] = {}
        for model in sorted(set(self._models)):
            kinds = tuple(kind for kind in self._kinds if kind.gpu_model in (None, model))
            by_model[model] = numbers.setdefault(kinds, len(numbers))
        potential_of = np.array([by_model[model] for model in self._models], np.int64)
        self._lines = self._made_by(self._rooms, potential_of, [Potential(kinds) for kinds in numbers])
        self._numbers.clear()

    def _write(self, slot: int, node: Node | None) -> None:
        if node is None or not node.in_service:
            self._lines.write(slot, -1, -1, [])
            return
        cpus, memory = node.cpus_free, node.memory_free
        rooms = [device.room for device in node.devices.values()]
        self._lines.write(slot, cpus if cpus > 0 else 0, memory if memory > 0 else 0, rooms)

    def _open(self, shape: Shape) -> int:
        """A line for it, in place of the oldest where there are too many."""
        numbers = self._numbers
        number = len(numbers) if len(numbers) < LINES_MAX else numbers.pop(next(iter(numbers)))
        allowed = bytes(not shape[1] or model in shape[1] for model in self._models)
        self._lines.open(number, *asked_of(shape[0]), allowed)
        numbers[shape] = number
        return number
