from __future__ import annotations

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.placement.inventory import Inventory, Seat
from headwater.quota.placement.shortfall import shortfall
from headwater.quota.undo import Undo


def an_inventory() -> Inventory:
    inventory = Inventory(Undo())
    for name, gpus, cpus, model in (("a", 2, 8, "L4"), ("b", 2, 1, "L4"), ("c", 4, 8, "H100"), ("d", 1, 8, "L4")):
        devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(gpus))
        inventory.join(NodeSpec(name, cpus * 1000, 1 << 30, model, devices))
    return inventory


def test_every_node_is_counted_under_the_first_reason() -> None:
    inventory = an_inventory()
    inventory.hold("one", (Seat("a", ("a/0",), 600, 0, 0),))
    inventory.drain("b")
    found = shortfall(inventory, Demand(2000, cpus_milli=2000), ("L4",))
    assert sum(found.short.values()) == found.nodes == 4
    assert found.short["drained"] == 1
    assert found.short["model"] == 1
    assert found.short["devices"] == 2
    assert str(found) == "of 4 nodes: 1 out of service, 1 of another GPU model, 2 without enough free GPU"


def test_free_pieces_that_no_rank_can_use_are_fragmented() -> None:
    inventory = Inventory(Undo())
    inventory.join(NodeSpec("a", 8000, 1 << 30, "L4", (DeviceSpec("a/0"), DeviceSpec("a/1"))))
    for device in ("a/0", "a/1"):
        inventory.hold(device, (Seat("a", (device,), 450, 0, 0),))
    found = shortfall(inventory, Demand(1000), ("L4",))
    assert found.short == {"fragmented": 1}
    assert found.largest_milli == 550


def test_the_ranks_that_would_fit_are_counted_within_what_is_required() -> None:
    inventory = Inventory(Undo())
    for name, rack in (("a", "1"), ("b", "1"), ("c", "2")):
        spec = NodeSpec(name, 8000, 1 << 30, "L4", (DeviceSpec(f"{name}/0"),), (("rack", rack),))
        inventory.join(spec)
    assert shortfall(inventory, Demand(1000, ranks=3, required_level="rack"), ("L4",)).ranks == 2
    assert shortfall(inventory, Demand(1000, ranks=4), ("L4",)).ranks == 3
