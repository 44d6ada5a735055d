from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.placement import fit
from headwater.quota.placement.consolidation import Consolidation, Movable, consolidation
from headwater.quota.placement.inventory import Holder, Inventory, Seat
from headwater.quota.undo import Undo


def a_cluster(*gpus: int) -> Inventory:
    inventory = Inventory(Undo())
    for number, count in enumerate(gpus):
        devices = tuple(DeviceSpec(f"n{number}/{n}") for n in range(count))
        inventory.join(NodeSpec(f"n{number}", 64_000, 1 << 40, "L4", devices))
    return inventory


def run(inventory: Inventory, holder: str, device: str, milli: int) -> Movable:
    seats = (Seat(device.split("/")[0], (device,), milli, 1000, 0),)
    inventory.hold(holder, seats)
    return Movable(Demand(milli, cpus_milli=1000), ("L4",), seats)


def picture(inventory: Inventory) -> object:
    devices = {device.id: (device.free, dict(device.holders)) for device in inventory.devices.values()}
    return devices, {node.spec.id: (node.cpus_free, node.whole_free) for node in inventory.nodes.values()}


def carry_out(inventory: Inventory, found: Consolidation, movable: dict[Holder, Movable]) -> None:
    for move in found.moves:
        inventory.unhold(move.holder, movable[move.holder].seats)
    for move in found.moves:
        inventory.hold(move.holder, move.seats)
    inventory.hold("claimant", found.seats)


def test_one_small_job_moves_to_make_room_for_a_large_one() -> None:
    inventory = a_cluster(2, 2)
    movable: dict[Holder, Movable] = {"a": run(inventory, "a", "n0/0", 500), "b": run(inventory, "b", "n1/0", 500)}
    assert fit.place(inventory, Demand(2000), ("L4",)) is None
    found = consolidation(inventory, Demand(2000), ("L4",), movable)
    assert found is not None
    assert len(found.moves) == 1
    assert {seat.node for seat in found.seats} != {seat.node for seat in found.moves[0].seats}


def test_jobs_that_may_not_be_moved_stay() -> None:
    inventory = a_cluster(2, 2)
    run(inventory, "a", "n0/0", 500)
    run(inventory, "b", "n1/0", 500)
    assert consolidation(inventory, Demand(2000), ("L4",), {}) is None


def test_nothing_is_proposed_where_a_lifted_job_finds_no_place() -> None:
    inventory = a_cluster(2, 1)
    movable: dict[Holder, Movable] = {"a": run(inventory, "a", "n0/0", 600)}
    run(inventory, "b", "n1/0", 600)
    assert consolidation(inventory, Demand(2000), ("L4",), movable) is None


def test_only_what_is_in_the_way_moves() -> None:
    inventory = a_cluster(4, 4)
    movable: dict[Holder, Movable] = {f"a{n}": run(inventory, f"a{n}", f"n0/{n}", 300) for n in range(3)}
    run(inventory, "b", "n1/0", 1000)
    run(inventory, "c", "n1/1", 1000)
    found = consolidation(inventory, Demand(3000), ("L4",), movable)
    assert found is not None
    assert len(found.moves) == 2


@settings(max_examples=80, deadline=None)
@given(
    gpus=st.lists(st.integers(1, 4), min_size=2, max_size=3),
    jobs=st.lists(st.tuples(st.integers(0, 11), st.sampled_from([200, 500, 1000]), st.booleans()), max_size=10),
    wanted=st.integers(1, 4),
)
def test_a_proposal_can_be_carried_out_and_asking_changes_nothing(
    gpus: list[int], jobs: list[tuple[int, int, bool]], wanted: int
) -> None:
    inventory = a_cluster(*gpus)
    names = sorted(inventory.devices)
    movable: dict[Holder, Movable] = {}
    for number, (at, milli, may_move) in enumerate(jobs):
        device = names[at % len(names)]
        if inventory.devices[device].free >= milli:
            job = run(inventory, f"j{number}", device, milli)
            if may_move:
                movable[f"j{number}"] = job
    before = picture(inventory)
    found = consolidation(inventory, Demand(wanted * 1000), ("L4",), movable)
    assert picture(inventory) == before
    if found is not None:
        carry_out(inventory, found, movable)
        for each in inventory.devices.values():
            assert 0 <= each.free == each.total - sum(each.holders.values())
        assert sum(len(seat.devices) for seat in found.seats) == wanted
