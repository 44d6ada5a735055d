from __future__ import annotations

from headwater.quota.messages import Demand
from headwater.quota.placement.workload import FIRST_AT, KINDS_MAX, Workload
from headwater.quota.undo import Undo


def shown(workload: Workload) -> list[tuple[int, int]]:
    return [(kind.gpus_milli, kind.weight) for kind in workload.kinds]


def test_nothing_is_typical_before_enough_was_asked() -> None:
    workload = Workload(Undo())
    for _ in range(FIRST_AT - 1):
        workload.ask(Demand(500))
    assert shown(workload) == []
    workload.ask(Demand(500))
    assert shown(workload) == [(500, FIRST_AT)]


def test_the_kinds_stay_until_as_many_again_were_asked() -> None:
    workload = Workload(Undo())
    workload.give({Demand(500): 100})
    kinds = workload.kinds
    for _ in range(99):
        workload.ask(Demand(1000))
    assert workload.kinds is kinds
    workload.ask(Demand(1000))
    assert [kind.weight for kind in workload.kinds] == [100, 100]


def test_the_rare_and_those_without_gpus_are_left_out() -> None:
    workload = Workload(Undo())
    workload.give({Demand(0, cpus_milli=1000): 9} | {Demand(n + 1): n + 1 for n in range(100)})
    assert len(workload.kinds) == KINDS_MAX
    assert workload.kinds[0].weight == 100
    assert 0 not in [kind.gpus_milli for kind in workload.kinds]


def test_gangs_count_as_what_a_rank_asks_for() -> None:
    workload = Workload(Undo())
    workload.give({Demand(1000, ranks=4): 1, Demand(1000): 2})
    assert shown(workload) == [(1000, 3)]


def test_what_was_asked_is_undone_exactly() -> None:
    undo = Undo()
    workload = Workload(undo)
    workload.give({Demand(500): 64})
    before = (dict(workload._counts), workload._asked, workload._due, workload.kinds)
    undo.mark()
    for _ in range(200):
        workload.ask(Demand(1000))
    workload.give({Demand(300): 1})
    undo.back_to(0)
    assert (workload._counts, workload._asked, workload._due, workload.kinds) == before
