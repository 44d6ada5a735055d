"""What was taken back leaves no trace, and rows in another order lead to the same decisions."""

from __future__ import annotations

import msgspec
import pytest

from headwater.quota.messages import AttemptReleased, Demand, DeviceFreed, Event, NodeLeft, StepGone, StepWaiting
from headwater.quota.placement.inventory import Inventory
from headwater.quota.places import Places
from headwater.quota.queues import LineKey, SortedLines, line_of, turn_of
from headwater.quota.scenario import Scenario
from headwater.quota.scheduler import Scheduler
from headwater.quota.simulate import play
from headwater.quota.undo import Undo

from .scene import a_node, a_scheduler, a_step, granted, lease, the_grant, the_refusal


def taken_back(scheduler: Scheduler, *events: Event) -> None:
    scheduler.mark()
    scheduler.decide_all(events)
    scheduler.rollback()


def running(scheduler: Scheduler, step: StepWaiting, fence: int) -> None:
    scheduler.decide(lease(the_grant(scheduler, step), fence, step.demand))


def test_of_two_nodes_as_large_the_same_one_is_named() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 9}}, a_node("a", gpus=2), a_node("b", gpus=2))
    sentence = the_refusal(scheduler, a_step("wide", gpus=3)).sentence
    assert "on node a." in sentence
    taken_back(scheduler, NodeLeft("a"))
    assert the_refusal(scheduler, a_step("wide", gpus=3)).sentence == sentence


def test_those_who_share_a_device_are_named_in_one_order() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 9}}, a_node())
    for fence, step_id in enumerate(("one", "two"), start=1):
        running(scheduler, msgspec.structs.replace(a_step(step_id, gpus=0.5), name=step_id), fence)
    scheduler.decide(a_step("waits", since=2))
    said = scheduler.explain("waits")
    assert "held by step one of run run-one (project flights); local/0 is held by step two" in str(said)
    taken_back(scheduler, StepGone("waits"), AttemptReleased(1), DeviceFreed(("local/0",), 1))
    assert scheduler.explain("waits") == said


def test_a_model_that_was_gone_only_in_what_was_tried_is_used_again() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 9}}, a_node("a", model="L4"), a_node("b", model="A100"))
    for fence, step_id in enumerate(("one", "two"), start=1):
        running(scheduler, a_step(step_id), fence)
    scheduler.decide(a_step("waits", since=2))
    with scheduler.tried():
        scheduler.decide(NodeLeft("b"))
    on_b = next(fence for fence, held in scheduler.holdings().items() if held.seats[0].node == "b")
    assert isinstance(on_b, int)
    scheduler.decide(AttemptReleased(on_b))
    assert granted(scheduler.decide(DeviceFreed(("b/0",), on_b))) == ["waits"]


def test_a_place_is_looked_for_anew_once_other_things_are_typical() -> None:
    # The best fit of a GPU without CPUs is on `a`; where most want 8 CPUs, it leaves less behind on `b`, which has one.
    inventory = Inventory(Undo())
    inventory.join(a_node("a", gpus=1, cpus=8))
    inventory.join(a_node("b", gpus=2, cpus=1))
    places, demand = Places(inventory), Demand(1000)
    assert [seat.node for seat in places.seats(demand, 1, ("L4",)) or ()] == ["a"]
    inventory.workload.give({Demand(1000, cpus_milli=8000): 1})
    assert [seat.node for seat in places.seats(demand, 1, ("L4",)) or ()] == ["b"]


@pytest.mark.parametrize("first", ["big", "small"])
def test_lines_of_one_turn_have_an_order_of_their_own(first: str) -> None:
    steps = {"big": a_step("s", gpus=2), "small": a_step("s", gpus=1)}
    undo = Undo()
    lines = SortedLines(undo)
    for name in sorted(steps, key=lambda name: name != first):
        lines.put(line_of(steps[name]), turn_of(steps[name]))
    before = lines.first(2)
    undo.mark()
    taken: list[LineKey | None] = [lines.pop_first(), lines.pop_first()]
    undo.back_to(0)
    assert lines.first(2) == before == taken == [line_of(steps["small"]), line_of(steps["big"])]


def test_those_who_lose_their_node_start_anew_in_the_order_of_their_attempts() -> None:
    scheduler = a_scheduler({"flights": {"gpu": 9}}, a_node("a", gpus=2))
    for fence, step_id in enumerate(("one", "two"), start=1):
        running(scheduler, a_step(step_id), fence)
    scenario = Scenario(None, ("a",), (), (), ())
    outcome = play(scheduler, scenario, 0)
    assert outcome.homeless == ("one", "two")
    taken_back(scheduler, AttemptReleased(1), DeviceFreed(("a/0", "a/1"), 1))
    assert play(scheduler, scenario, 0) == outcome
