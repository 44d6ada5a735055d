from __future__ import annotations

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.placement import fit
from headwater.quota.placement.inventory import Inventory
from headwater.quota.undo import Undo


def an_inventory(**gpus: int) -> Inventory:
    inventory = Inventory(Undo())
    for name, count in gpus.items():
        devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(count))
        inventory.join(NodeSpec(name, 8000, 1 << 30, "L4" if count else "", devices))
    return inventory


def nodes_of(inventory: Inventory, demand: Demand) -> list[str]:
    return [seat.node for seat in fit.place(inventory, demand, ("L4",)) or ()]


def test_the_tightest_node_that_fits_is_taken() -> None:
    inventory = an_inventory(big=8, small=2, tiny=1)
    assert nodes_of(inventory, Demand(2000)) == ["small"]
    assert nodes_of(inventory, Demand(1000)) == ["tiny"]


def test_a_share_goes_to_the_fullest_device_that_has_it() -> None:
    inventory = an_inventory(one=1, two=1)
    for holder, milli in enumerate((300, 700)):
        seats = fit.place(inventory, Demand(milli), ("L4",))
        assert seats is not None
        inventory.hold(holder, seats)
    assert [d.free for d in inventory.devices.values()] == [0, 1000]


def test_a_gang_takes_the_fewest_nodes_and_fills_the_last() -> None:
    inventory = an_inventory(a=1, b=4, c=4)
    assert nodes_of(inventory, Demand(1000, ranks=5)) == ["b", "b", "b", "b", "a"]


def test_no_gang_is_partly_placed() -> None:
    assert fit.place(an_inventory(a=1, b=1), Demand(1000, ranks=3), ("L4",)) is None


def test_cpus_count_on_a_node_with_free_gpus() -> None:
    assert fit.place(an_inventory(a=8), Demand(1000, cpus_milli=9000), ("L4",)) is None


def test_what_is_held_and_given_back_leaves_no_trace() -> None:
    inventory = an_inventory(a=2)
    before = (list(inventory.by_room["L4"]), inventory.nodes["a"].cpus_free)
    seats = fit.place(inventory, Demand(500, cpus_milli=100, ranks=3), ("L4",))
    assert seats is not None
    inventory.hold("step", seats)
    inventory.unhold("step", seats)
    assert (list(inventory.by_room["L4"]), inventory.nodes["a"].cpus_free) == before
    assert not inventory.partly.get("L4")
