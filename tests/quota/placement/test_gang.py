from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.placement import fit
from headwater.quota.placement.inventory import Inventory
from headwater.quota.placement.topology import domain_of, unknown_level
from headwater.quota.undo import Undo


def a_cluster(**racks: tuple[int, ...]) -> Inventory:
    """Nodes with so many GPUs each, by rack; two racks named alike but for the last letter share a block."""
    inventory = Inventory(Undo())
    for rack, counts in racks.items():
        for number, gpus in enumerate(counts):
            name = f"{rack}-{number}"
            devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(gpus))
            labels = (("rack", rack), ("block", rack[:-1]))
            inventory.join(NodeSpec(name, 64_000, 1 << 40, "H100", devices, labels))
    return inventory


def nodes_of(inventory: Inventory, demand: Demand) -> list[str]:
    return [seat.node for seat in fit.place(inventory, demand, ("H100",)) or ()]


def test_a_gang_stays_within_the_rack_that_it_requires() -> None:
    inventory = a_cluster(a1=(8, 4), a2=(4, 4))
    assert nodes_of(inventory, Demand(4000, ranks=2)) == ["a1-0", "a1-0"]
    assert nodes_of(inventory, Demand(4000, ranks=3, required_level="rack")) == ["a1-0", "a1-0", "a1-1"]
    assert nodes_of(inventory, Demand(4000, ranks=4, required_level="rack")) == []
    assert len(nodes_of(inventory, Demand(4000, ranks=4, required_level="block"))) == 4


def test_a_required_rack_is_another_in_another_block() -> None:
    inventory = a_cluster(a1=(4,), b1=(4,))
    assert nodes_of(inventory, Demand(4000, ranks=2, required_level="block")) == []
    assert len(nodes_of(inventory, Demand(4000, ranks=2, preferred_level="block"))) == 2


def test_a_preferred_level_goes_to_the_narrowest_that_holds_all() -> None:
    inventory = a_cluster(a1=(8, 8, 2), a2=(4, 4, 4, 4))
    assert nodes_of(inventory, Demand(4000, ranks=5)) == ["a1-0"] * 2 + ["a1-1"] * 2 + ["a2-0"]
    demand = Demand(2000, ranks=8, preferred_level="rack")
    assert {node[:2] for node in nodes_of(inventory, demand)} == {"a1"}


def test_the_last_ranks_fill_the_node_that_they_fit_best() -> None:
    assert nodes_of(a_cluster(a1=(8, 4, 2)), Demand(2000, ranks=5)) == ["a1-0"] * 4 + ["a1-2"]


def test_a_node_without_the_label_is_in_no_domain() -> None:
    assert domain_of(NodeSpec("n", 0, 0, labels=(("rack", "1"),)), "island") is None
    assert domain_of(NodeSpec("n", 0, 0, labels=(("rack", "1"), ("block", "b"))), "rack") == ("b", "1")


def test_what_no_domain_could_ever_hold_is_known() -> None:
    inventory = a_cluster(a1=(8, 4), a2=(4, 4))
    assert fit.largest(inventory, Demand(4000, ranks=9)) == 5
    assert fit.largest(inventory, Demand(4000, ranks=9, required_level="rack")) == 3
    assert fit.largest(inventory, Demand(4000, ranks=9, required_level="node")) == 2


def test_an_unknown_level_is_named_with_those_there_are() -> None:
    problem = unknown_level(Demand(1000, required_level="rak"))
    assert problem is not None
    assert "node, island, rack, block" in problem
    assert "rack" in problem


@settings(max_examples=80, deadline=None)
@given(
    racks=st.dictionaries(
        st.sampled_from(["a1", "a2", "b1"]), st.lists(st.integers(1, 8), min_size=1, max_size=3).map(tuple), min_size=1
    ),
    gpus=st.integers(1, 4),
    ranks=st.integers(1, 12),
    level=st.sampled_from([None, "node", "island", "rack", "block"]),
    typical=st.booleans(),
)
def test_a_gang_is_placed_whole_within_its_level_or_not_at_all(
    racks: dict[str, tuple[int, ...]], gpus: int, ranks: int, level: str | None, typical: bool
) -> None:
    inventory = a_cluster(**racks)
    if typical:
        inventory.workload.give({Demand(1000): 3, Demand(4000): 1})
    demand = Demand(gpus * 1000, ranks=ranks, required_level=level)
    seats = fit.place(inventory, demand, ("H100",)) or ()
    could = fit.largest(inventory, demand) >= ranks
    assert len(seats) == (ranks if could else 0)
    taken = [device for seat in seats for device in seat.devices]
    assert len(taken) == len(set(taken)) == len(seats) * gpus
    nodes = {seat.node for seat in seats}
    if level is not None and len(nodes) > 1:
        assert len({domain_of(inventory.nodes[node].spec, level) for node in nodes}) == 1
