"""Every option of `on`, as a flow writes it: what it starts, what it makes a dead letter, what deploy refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from scenes.triggers import DAY, HOUR, SECOND, Life, a_triggered

from headwater.core.conductor import messages as m
from headwater.core.trigger_fault import fault_of
from headwater.errors import InvalidInput
from headwater.sdk import on
from headwater.wire import calls
from headwater.wire.entries.events import EventRejected
from headwater.wire.entries.models import ModelAliased, ModelRegistered
from headwater.wire.entries.runs import RunFailed, RunSucceeded
from headwater.wire.entries.tables import TableCommitted
from headwater.wire.manifest import Batch, Concurrency, TriggerSpec
from headwater.wire.terms import Failure
from headwater.wire.types import Said


def takes(**types: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": list(types), "additionalProperties": False}


def a_life(trigger: TriggerSpec, **types: str) -> Life:
    return Life(a_triggered(trigger, parameters=takes(**types)))


def says(life: Life, body: Any, run_id: str | None = None) -> None:
    word = Said(body=body, subject="s", project="eta", principal="p", time_us=life.now_us, run_id=run_id)
    life.said.append(word)
    life.tell(m.Due())


def committed(life: Life) -> None:
    body = TableCommitted(
        table="lake.x", snapshot_id=9, previous_snapshot_id=8, metadata_location="m", operation="append", rows_added=1,
        rows_total=2,
    )  # fmt: skip
    says(life, body)


def registered(life: Life) -> None:
    says(life, ModelRegistered(name="delay", version=3, digest="d", run_id="r", ordinal=0))


def aliased(life: Life) -> None:
    says(life, ModelAliased(name="delay", alias="champion", version=3, previous_version=2))


def cleaned(life: Life) -> None:
    says(life, RunSucceeded(flow="clean", duration_us=1), run_id="r1")


def landed(life: Life, event_id: str = "1", **data: Any) -> None:
    life.lands("a", event_id, **(data or {"n": 1}))


def letters(life: Life) -> list[EventRejected]:
    return [word.body for word in life.said if isinstance(word.body, EventRejected)]


# What each offers.


def test_a_commit_offers_both_snapshots() -> None:
    life = a_life(on.commit("lake.x"), snapshot_id="integer", previous_snapshot_id="integer", operation="string")
    committed(life)
    assert life.runs()[0].parameters == {"snapshot_id": 9, "previous_snapshot_id": 8, "operation": "append"}


def test_a_model_starts_who_listens_to_its_versions_and_not_to_its_aliases() -> None:
    life = a_life(on.model("delay"), name="string", version="integer")
    aliased(life)
    registered(life)
    assert [run.parameters for run in life.runs()] == [{"name": "delay", "version": 3}]


@pytest.mark.parametrize(("state", "runs"), [("SUCCEEDED", 1), ("FAILED", 0)])
def test_a_finished_flow_offers_its_run(state: str, runs: int) -> None:
    life = a_life(on.finished("clean", state=state), run_id="string", state="string", flow="string")
    cleaned(life)
    assert [run.parameters for run in life.runs()] == [{"run_id": "r1", "state": "SUCCEEDED", "flow": "clean"}] * runs


@pytest.mark.parametrize(
    ("catch_up", "days"), [("skip", []), ("latest", [4]), ("all(2)", [3, 4]), ("all(9)", [1, 2, 3, 4])]
)
def test_a_clock_catches_up_as_it_says(catch_up: str, days: list[int]) -> None:
    life = a_life(on.cron("0 13 * * *", catch_up=catch_up), nominal="string")
    life.now_us += 4 * DAY
    life.restart()
    life.passes(0)
    assert sorted(run.parameters["nominal"][:10] for run in life.runs()) == [f"2026-11-0{day + 1}" for day in days]


def test_a_join_takes_its_key_from_the_whole_or_from_its_members() -> None:
    members = (on.event("a", map={"n": "data.n"}, key="data.day"), on.event("b", map={"m": "data.m"}, key="data.date"))
    for trigger, name in ((on.all_of(*members, within="1h"), "date"), (
        on.all_of(*(msgspec.structs.replace(one, key=None) for one in members), within="1h", key="data.day"), "day"
    )):  # fmt: skip
        life = a_life(trigger, n="integer", m="integer")
        life.lands("a", "1", n=1, day="mon")
        life.lands("b", "2", m=2, **{name: "tue"})
        life.lands("b", "3", m=3, **{name: "mon"})
        assert [run.parameters for run in life.runs()] == [{"n": 1, "m": 3}]


def test_a_batch_ends_by_count_or_by_time() -> None:
    life = a_life(on.event("a", map={"n": "data.n"}, batch=(2, "30s")), n="array")
    for number in range(3):
        landed(life, str(number), n=number)
    life.passes(31 * SECOND)
    assert [run.parameters for run in life.runs()] == [{"n": [0, 1]}, {"n": [2]}]


def test_a_burst_may_be_limited_as_well() -> None:
    life = a_life(on.event("a", debounce="5s", concurrency=(1, "cancel-previous")), n="integer")
    for number in range(4):
        landed(life, str(number), n=number)
        life.passes((6 if number % 2 else 1) * SECOND)
    assert [(run.parameters["n"], str(run.state)) for run in life.runs()] == [(1, "CANCELLED"), (3, "RUNNING")]


@pytest.mark.parametrize(
    ("over", "states"),
    [
        ("queue", ["RUNNING", "RUNNING", "PENDING", "PENDING"]),
        ("drop-oldest", ["RUNNING", "RUNNING", "CANCELLED", "PENDING"]),
        ("cancel-previous", ["CANCELLED", "CANCELLED", "RUNNING", "RUNNING"]),
    ],
)
def test_two_at_once_and_what_becomes_of_the_others(over: Any, states: list[str]) -> None:
    life = a_life(on.event("a", concurrency=(2, over)), n="integer")
    for number in range(4):
        landed(life, str(number), n=number)
    assert [str(state) for state in life.states()] == states


def test_the_priority_of_a_trigger_is_added_to_that_of_the_steps() -> None:
    life = a_life(on.event("a", priority=5), n="integer")
    landed(life)
    run = life.runs()[0]
    call = calls.StepCall(function="flow:fit", arguments=calls.Payload(inline=b"()"), priority=2)
    life.tell(m.Issued(run.id, run.host_fence, (calls.Command(ordinal=0, name="fit", key="fit#0", call=call),)))
    assert life.state.steps[f"{run.id}/0"].priority == 7


# What cannot be mapped, or filtered.

KINDS: dict[str, tuple[Callable[..., TriggerSpec], Callable[[Life], None], str]] = {
    "event": (lambda **o: on.event("a", **o), landed, "n"),
    "commit": (lambda **o: on.commit("lake.x", **o), committed, "operation"),
    "finished": (lambda **o: on.finished("clean", **o), cleaned, "flow"),
    "model": (lambda **o: on.model("delay", **o), registered, "name"),
    "alias": (lambda **o: on.model("delay", alias="champion", **o), aliased, "alias"),
    "cron": (lambda **o: on.cron("0 13 * * *", **o), lambda life: life.passes(2 * HOUR), "nominal"),
    "join": (lambda **o: on.all_of(on.event("a", **o), on.event("b"), within="1h"), landed, "n"),
    "batch": (lambda **o: on.event("a", batch=(1, "1h"), **o), landed, "n"),
    "burst": (lambda **o: on.event("a", debounce="1s", **o), landed, "n"),
}


SHOWN = {
    "operation": '"append"', "flow": '"clean"', "name": '"delay"', "alias": '"champion"',
    "nominal": "2026-11-02T13:00:00",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_trigger_cannot_map_is_a_dead_letter_that_names_trigger_field_and_value(kind: str) -> None:
    trigger, happens, field = KINDS[kind]
    shown = SHOWN.get(field, "1")
    life = a_life(trigger(map={"wanted": f"data.{field}"}), wanted="boolean")
    happens(life)
    (letter,) = letters(life)
    assert (letter.code, letter.trigger, life.runs()) == ("bad_parameters", "eta/train/" + trigger().name, [])
    assert letter.reason.startswith(f"Trigger {letter.trigger}: Flow 'train': ")
    assert "wanted" in letter.reason
    assert shown in letter.reason
    assert "boolean" in letter.reason
    assert life.rows["dead_letters"][letter.dead_letter_id].raw


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["data.nobody > 1", "'text'"])
def test_a_filter_that_fails_is_a_dead_letter_and_never_false(kind: str, where: str) -> None:
    trigger, happens, _ = KINDS[kind]
    life = a_life(trigger(where=where))
    happens(life)
    (letter,) = letters(life)
    assert (letter.code, life.runs()) == ("filter_failed", [])
    assert where in letter.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_that_fails_is_a_dead_letter_that_names_the_parameter(kind: str) -> None:
    trigger, happens, _ = KINDS[kind]
    life = a_life(trigger(map={"wanted": "data.nobody"}), wanted="integer")
    happens(life)
    (letter,) = letters(life)
    assert letter.code == "map_failed"
    assert "'wanted'" in letter.reason


# Pausing.


def test_a_paused_clock_starts_nothing_and_does_not_catch_up() -> None:
    life = a_life(on.cron("0 13 * * *", catch_up="all(9)"), nominal="string")
    trigger = "eta/train/cron:0 13 * * *"
    life.orders("trigger.pause", trigger=trigger)
    life.passes(2 * DAY)
    life.orders("trigger.resume", trigger=trigger)
    assert life.runs() == []
    life.passes(DAY)
    assert len(life.runs()) == 1


@pytest.mark.parametrize("options", [{"debounce": "5s"}, {"batch": (9, "5s"), "map": {"n": "data.n"}}])
def test_what_was_gathered_before_a_pause_waits_with_the_trigger_and_runs_after_it(options: Any) -> None:
    life = a_life(on.event("a", **options), n="array" if "batch" in options else "integer")
    trigger = "eta/train/event:a"
    landed(life)
    life.orders("trigger.pause", trigger=trigger)
    life.passes(HOUR)
    life.restart()
    assert life.runs() == []
    life.orders("trigger.resume", trigger=trigger)
    assert [run.parameters["n"] for run in life.runs()] == [[1] if "batch" in options else 1]
    assert life.rows["parts"] == {}


def test_a_batch_whose_map_changes_meanwhile_is_a_dead_letter_and_the_clock_goes_on() -> None:
    life = a_life(on.event("a", map={"n": "data.n"}, batch=(9, "5s")), n="array")
    landed(life, "1", n=1)
    life.deploys(a_triggered(on.event("a", map={"k": "data.n"}, batch=(9, "5s")), parameters=takes(k="array")))
    landed(life, "2", n=2)
    life.passes(6 * SECOND)
    (letter,) = letters(life)
    assert "it gave n, then k" in letter.reason
    landed(life, "3", n=3)
    life.passes(6 * SECOND)
    assert [run.parameters for run in life.runs()] == [{"k": [3]}]


def test_a_failed_run_does_not_start_who_waits_for_success() -> None:
    life = a_life(on.finished("clean"), run_id="string")
    says(life, RunFailed(flow="clean", duration_us=1, failure=Failure(kind="exception", message="x")), run_id="r1")
    assert life.runs() == []


# What is refused.


def test_options_are_what_they_say() -> None:
    spec = on.event("a", debounce="2s", concurrency=(3, "drop-oldest"), priority=-1, key="data.k", name="mine")
    assert (spec.debounce_s, spec.concurrency, spec.priority, spec.key, spec.name) == (
        2.0, Concurrency(limit=3, over="drop-oldest"), -1, "data.k", "mine",
    )  # fmt: skip
    assert on.event("a", batch=(5, "1m")).batch == Batch(count=5, within_s=60.0)
    assert [on.cron("0 6 * * *", catch_up=text).catch_up for text in ("skip", "latest", "all(7)")] == [0, 1, 7]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: on.cron("0 6 * * *", catch_up="all(1001)"), "catch_up is 'all(1001)'"),
        (lambda: on.cron("0 6 * * *", catch_up="all(-1)"), "catch_up is"),
        (lambda: on.event("a", concurrency=(1, "drop")), "concurrency is"),  # type: ignore[arg-type]
        (lambda: on.event("a", concurrency="2"), "concurrency is"),  # type: ignore[arg-type]
        (lambda: on.event("a", batch=5), "batch is 5"),  # type: ignore[arg-type]
        (lambda: on.event("a", debounce="soon"), "debounce"),
        (lambda: on.event("a", priority="high"), "priority"),  # type: ignore[arg-type]
        (lambda: on.event("a", debonce="1s"), "no option 'debonce'"),  # type: ignore[call-arg]
        (lambda: on.model("delay", alias=""), "alias is ''"),
        (lambda: on.all_of("a", "b", within="1h"), "on.all_of was given 'a'"),  # type: ignore[arg-type]
        (lambda: on.other("event", "a"), "is a kind of ours"),
        (lambda: on.commit("flights"), "no table name"),
        (lambda: on.event(""), "was given ''"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(write: Callable[[], Any], words: str) -> None:
    with pytest.raises(InvalidInput) as told:
        write()
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (on.event("a", debounce="1s", batch=(2, "1s")), "gathered in 2 ways"),
        (on.event("a", concurrency=0), "concurrency is 0"),
        (on.event("a", batch=(0, "1s")), "its batch is 0 events"),
        (on.event("a", batch=(2, "0s")), "its batch is 2 events within 0 s"),
        (on.all_of(on.event("a"), within="1h"), "it joins 1 triggers"),
        (on.all_of(on.event("a"), on.event("b")), "a join needs a window"),
        (on.all_of(on.event("a"), on.event("b", debounce="1s"), within="1h"), "no plain trigger"),
        (on.all_of(on.event("a"), on.cron("0 6 * * *"), within="1h"), "no plain trigger"),
        (on.all_of(on.event("a", map={"k": "1"}), on.event("b"), within="1h"), "names 'k'"),
        (on.event("a", map={"k": "1"}), "names 'k'"),
        (on.event("a", map={"n": "1"}), "leaves out 'm'"),
        (on.event("a", where="data."), "its filter 'data.' cannot be used"),
        (on.event("a", key="("), "its key"),
        (on.event("a", labels={"x": "("}), "its label"),
        (on.event("a", schema={"type": "nothing"}), "no JSON Schema"),
        (on.event("a", batch=(2, "1s")), "goes into one parameter"),
        (on.cron("0 0 30 2 *"), "no cron expression"),
    ],
)
def test_deploy_refuses_what_can_never_be_right(trigger: TriggerSpec, words: str) -> None:
    fault = fault_of(trigger, takes(n="integer", m="integer"))
    assert fault is not None
    assert words in fault.what
    assert fault.remedy
