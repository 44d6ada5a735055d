"""The board that is kept up to date against the definition, computed anew for every node.

Its lines are those in NumPy and, where they were built, the compiled ones beside: both must say the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.placement import fit, lines
from headwater.quota.placement.board import Board
from headwater.quota.placement.fragmentation import WHOLE, Room, fragmentation
from headwater.quota.placement.inventory import Inventory, Seat
from headwater.quota.placement.lines import Lines, NumpyLines, compiled_lines
from headwater.quota.placement.node import Node
from headwater.quota.placement.potential import Ints, Potential
from headwater.quota.undo import Undo

MODELS = ("A100", "L4")
TYPICAL = {
    Demand(470, None, 4000): 9,
    Demand(1000, None, 8000): 7,
    Demand(2000, "A100", 9000): 2,
    Demand(160, "L4", 1000): 3,
}
DEMANDS = st.builds(
    Demand,
    gpus_milli=st.sampled_from([0, 160, 470, 1000, 2000]),
    gpu_model=st.none(),
    cpus_milli=st.sampled_from([0, 1000, 4000]),
    ranks=st.sampled_from([1, 1, 1, 2]),
)
CHOICES = st.sampled_from([MODELS, ("A100",), ("L4",)])


class Both:
    def __init__(self, rooms: Ints, potential_of: Ints, potentials: list[Potential]) -> None:
        self._all: list[Lines] = [NumpyLines(rooms, potential_of, potentials)]
        if lines.compiled is not None:
            self._all.append(compiled_lines(rooms.copy(), potential_of, potentials))

    def write(self, slot: int, cpus: int, memory: int, devices: list[int], /) -> None:
        for each in self._all:
            each.write(slot, cpus, memory, devices)

    def open(self, number: int, cpus: int, memory: int, gpus_milli: int, ranks: int, allowed: bytes, /) -> None:
        for each in self._all:
            each.open(number, cpus, memory, gpus_milli, ranks, allowed)

    def best(self, number: int, /) -> tuple[int, int] | None:
        found, *others = (each.best(number) for each in self._all)
        assert all(other == found for other in others)
        return found


def room_of(node: Node) -> Room:
    free = (0 if d.quarantined else min(max(0, d.free), 999 if d.holders else WHOLE) for d in node.devices.values())
    return Room(max(0, node.cpus_free), max(0, node.memory_free), tuple(free))


def ways(room: Room, demand: Demand) -> Iterator[Room]:
    """What each way to place one rank would leave."""
    cpus = room.cpus_milli - demand.cpus_milli
    if cpus < 0:
        return
    if not demand.gpus_milli:
        yield Room(cpus, room.memory_bytes, room.devices)
    elif demand.gpus_milli < WHOLE:
        for at, free in enumerate(room.devices):
            if free >= demand.gpus_milli:
                left = (*room.devices[:at], free - demand.gpus_milli, *room.devices[at + 1 :])
                yield Room(cpus, room.memory_bytes, left)
    else:
        empty = [at for at, free in enumerate(room.devices) if free == WHOLE][: demand.gpus_milli // WHOLE]
        if len(empty) * WHOLE == demand.gpus_milli:
            left = tuple(0 if at in empty else free for at, free in enumerate(room.devices))
            yield Room(cpus, room.memory_bytes, left)


class Placing(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.undo = Undo()
        self.inventory = Inventory(self.undo)
        self.inventory.board = Board(self.inventory.nodes, made_by=Both)
        self.inventory.workload.give(TYPICAL)
        self.held: dict[str, tuple[Seat, ...]] = {}
        self.count = 0
        self.marked: tuple[dict[str, Room], dict[str, tuple[Seat, ...]]] | None = None

    def rooms(self) -> dict[str, Room]:
        return {name: room_of(node) for name, node in self.inventory.nodes.items()}

    @rule(name=st.sampled_from("abcd"), gpus=st.integers(0, 4), model=st.sampled_from(MODELS), cpus=st.integers(0, 16))
    def join(self, name: str, gpus: int, model: str, cpus: int) -> None:
        known = self.inventory.nodes.get(name)
        model = known.spec.gpu_model if known is not None else model
        devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(gpus))
        self.inventory.join(NodeSpec(name, cpus * 1000, 1 << 40, model, devices))

    @rule(demand=DEMANDS, models=CHOICES)
    def place(self, demand: Demand, models: tuple[str, ...]) -> None:
        seats = fit.place(self.inventory, demand, models)
        if demand.ranks == 1:
            self.check_best(demand, models, seats)
        if seats is not None:
            assert len(seats) == demand.ranks
            self.count += 1
            self.held[f"s{self.count}"] = seats
            self.inventory.hold(f"s{self.count}", seats)

    def check_best(self, demand: Demand, models: tuple[str, ...], seats: tuple[Seat, ...] | None) -> None:
        added = []
        for node in self.inventory.nodes.values():
            model = node.spec.gpu_model
            if node.in_service and (model in models or not demand.gpus_milli):
                kinds = [kind for kind in self.inventory.workload.kinds if kind.gpu_model in (None, model)]
                before = room_of(node)
                left = ways(before, demand)
                added += [(fragmentation(r, kinds) - fragmentation(before, kinds), node.spec.id) for r in left]
        assert (seats is None) is (not added)
        if seats is not None:
            assert seats[0].node == min(added)[1]

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 50))
    def end(self, which: int) -> None:
        name = sorted(self.held)[which % len(self.held)]
        self.inventory.unhold(name, self.held.pop(name))

    @rule(name=st.sampled_from("abcd"))
    def drain(self, name: str) -> None:
        if name in self.inventory.nodes:
            self.inventory.drain(name)

    @rule(name=st.sampled_from("abcd"), quarantined=st.booleans())
    def suspect(self, name: str, quarantined: bool) -> None:
        if f"{name}/0" in self.inventory.devices:
            self.inventory.quarantine(f"{name}/0", quarantined)

    @rule()
    def mark(self) -> None:
        self.undo.mark()
        self.marked = (self.rooms(), dict(self.held))

    @precondition(lambda self: self.marked)
    @rule()
    def go_back(self) -> None:
        assert self.marked is not None
        self.undo.back_to(0)
        assert self.rooms() == self.marked[0]
        self.held = dict(self.marked[1])

    @invariant()
    def held_and_free_are_the_total(self) -> None:
        for device in self.inventory.devices.values():
            assert device.free + sum(device.holders.values()) == device.total
            assert device.free >= 0


Placing.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestTheBoardNamesTheBest = Placing.TestCase
