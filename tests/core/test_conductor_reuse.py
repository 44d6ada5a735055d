"""What a resumed run takes from the one before, and what steps with `cache=True` take from any."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from scenes.conductor import Scene, a_step, command, delivered, value_of

from headwater.core.conductor import messages as m
from headwater.core.conductor.runs.caching import cache_key
from headwater.core.inbox import Ordered
from headwater.core.records.runs import CommandRow, Run, RunState
from headwater.core.records.steps import CacheEntry, StepState
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.terms import Failure


def digested(ordinal: int, *, code: str = "c1", given: str = "d1", **options: Any) -> calls.Command:
    step = a_step(ordinal, code_digest=code, **options)
    return msgspec.structs.replace(step, digest=given)


def a_failed_run(scene: Scene) -> tuple[Run, list[CommandRow]]:
    """A run whose first step succeeded and whose second failed, as its rows are."""
    run_id = scene.a_running_run()
    scene.issue(run_id, digested(0), digested(1))
    for ordinal, failure in ((0, None), (1, Failure(kind="exception", message="boom"))):
        scene.tell(m.WorkerJoined(f"w{ordinal}", "n1"))
        fence = scene.grant(f"{run_id}/{ordinal}").answer[0].fence
        scene.report(fence, failure, worker=scene.state.attempts[fence].worker or "")
    rows = [scene.state.commands[run_id, ordinal] for ordinal in (0, 1)]
    outcome = calls.Outcome(failure=Failure(kind="exception", message="boom"))
    run = msgspec.structs.replace(scene.state.runs[run_id], state=RunState.FAILED)
    scene.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run_id, fence=1, outcome=outcome)))
    return run, rows


def nothing(ordinal: int) -> calls.Payload | None:
    return None


def resumed(scene: Scene, before: Run, **data: Any) -> Run:
    order = calls.Order(
        source="cli",
        id=str(data.get("key", "again")),
        kind="run.resume",
        principal="me",
        project="eta",
        data={"run_id": before.id, **data},
        sha256="s",
    )
    answer = scene.tell(Ordered(order=order, ended_as=before.state, ended=before)).answer
    return scene.state.runs[answer["done"]["run_id"]]


def issue(
    scene: Scene, run: Run, rows: list[CommandRow], *commands: calls.Command, **known: Any
) -> dict[int, calls.Outcome]:
    return delivered(scene.tell(m.Issued(run.id, run.host_fence, commands, reusable=tuple(rows), **known)))


def test_a_resumed_run_is_a_new_record_that_names_the_old_one() -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    run = resumed(scene, before)
    assert (run.resumed_from, run.parameters, run.state) == (before.id, before.parameters, RunState.RUNNING)
    assert run.id != before.id


def test_finished_steps_are_reused_and_failed_ones_run_again() -> None:
    scene = Scene()
    before, rows = a_failed_run(scene)
    run = resumed(scene, before)
    told = issue(scene, run, rows, digested(0), digested(1))
    assert value_of(msgspec.structs.replace(told[0])) == 42
    assert scene.state.steps[f"{run.id}/0"].state is StepState.SUCCEEDED
    assert scene.state.steps[f"{run.id}/1"].state is StepState.WAITING


@pytest.mark.parametrize("change", [{"code": "c2"}, {"given": "d2"}, {"code": ""}])
def test_a_step_whose_code_or_input_changed_runs_again(change: dict[str, str]) -> None:
    scene = Scene()
    before, rows = a_failed_run(scene)
    run = resumed(scene, before)
    assert issue(scene, run, rows, digested(0, **change)) == {}
    assert scene.state.steps[f"{run.id}/0"].state is StepState.WAITING


def test_what_was_published_and_registered_is_not_said_again() -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    run = resumed(scene, before)
    call = calls.PublishCall(event_type="done")
    asked = calls.Command(ordinal=0, name="publish", key="publish#1", call=call, digest="d")
    row = CommandRow(
        run_id=before.id,
        ordinal=5,
        kind="publish",
        name="publish",
        key="publish#1",
        digest="d",
        command=asked,
        outcome=calls.Outcome(),
        issued_us=1,
    )
    assert 0 in issue(scene, run, [row], asked)
    assert "event.published" not in scene.types()


def test_a_choice_by_order_is_made_anew() -> None:
    scene = Scene()
    before, rows = a_failed_run(scene)
    run = resumed(scene, before)
    first = msgspec.structs.replace(command(1, calls.FirstCall(of=(0,))), digest="d")
    row = msgspec.structs.replace(rows[0], kind="first", name="c", key="c#1", digest="d", command=first)
    told = issue(scene, run, [row], digested(0, given="new"), first)
    assert told == {}


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.RUNNING])
def test_only_what_failed_or_was_cancelled_can_be_resumed(state: RunState) -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    order = calls.Order(
        source="cli", id="x", kind="run.resume", principal="me", project="eta", data={"run_id": before.id}, sha256="s"
    )
    run = msgspec.structs.replace(before, state=state)
    refused = scene.tell(Ordered(order=order, ended=run)).answer["refused"]
    assert state in refused["reason"]


def test_a_cached_result_serves_another_run_with_the_same_code_and_input() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    asked = digested(0, cache=True)
    scene.issue(run_id, asked)
    scene.tell(m.WorkerJoined("w1", "n1"))
    fence = scene.grant(f"{run_id}/0").answer[0].fence
    payload = calls.Payload(inline=b"42", size_bytes=2)
    report = calls.Report(fence=fence, worker="w1", started_us=1, ended_us=2, outcome=calls.Outcome(payload=payload))
    scene.tell(m.Reported((report,)), settle=False)
    key = cache_key("eta", asked, nothing)
    entry = scene.machine.book.changes()["step_cache"][key]
    assert isinstance(entry, CacheEntry)
    scene.machine.settle()
    assert len(scene.state.cache) == 0
    again = calls.Command(ordinal=1, name="fit", key="fit#2", call=asked.call, digest=asked.digest)
    turn = scene.tell(m.Issued(run_id, 1, (again,), cached={key: entry}))
    assert delivered(turn)[1].payload == payload
    assert cache_key("other", asked, nothing) != key
    assert cache_key("eta", digested(0), nothing) == ""


def test_a_step_that_is_fed_anew_runs_again() -> None:
    scene = Scene()
    before, rows = a_failed_run(scene)
    run = resumed(scene, before)
    fed = [msgspec.structs.replace(one, call=msgspec.structs.replace(one.call, needs=(0,))) for one in [digested(1)]]
    done = msgspec.structs.replace(rows[1], outcome=rows[0].outcome, command=fed[0])
    assert set(issue(scene, run, [rows[0], done], digested(0), *fed)) == {0, 1}
    again = resumed(scene, before, key="anew")
    assert issue(scene, again, [rows[0], done], digested(0, code="c2"), *fed) == {}
    assert scene.state.steps[f"{again.id}/1"].state is StepState.BLOCKED


def test_a_cached_result_is_known_by_what_fed_it() -> None:
    fed = digested(1, cache=True)
    fed = msgspec.structs.replace(fed, call=msgspec.structs.replace(fed.call, needs=(0,)))
    monday, tuesday = (calls.Payload(inline=text) for text in (b"monday", b"tuesday"))
    keys = {cache_key("eta", fed, {0: payload}.get) for payload in (monday, tuesday)}
    assert len(keys - {""}) == 2
    assert cache_key("eta", fed, nothing) == ""


def fed_and_cached(ordinal: int, *needs: int, given: str = "d1") -> calls.Command:
    step = digested(ordinal, cache=True, given=given)
    return msgspec.structs.replace(step, call=msgspec.structs.replace(step.call, needs=needs))


def lookups(turn: Turn) -> list[m.LookUp]:
    return [effect for effect in turn.effects if isinstance(effect, m.LookUp)]


def a_step_fed_by_what_runs(scene: Scene) -> tuple[str, int]:
    """The run, and the fence of what feeds its second step."""
    run_id = scene.a_running_run()
    fence = scene.a_step_at_work(run_id)
    assert lookups(scene.issue(run_id, fed_and_cached(1, 0))) == []
    return run_id, fence


def test_a_step_that_is_fed_later_is_looked_up_before_it_asks_for_its_place() -> None:
    scene = Scene()
    run_id, fence = a_step_fed_by_what_runs(scene)
    (asked,) = lookups(scene.report(fence))
    brought = {0: calls.Payload(inline=b"42", size_bytes=2)}
    assert asked == m.LookUp(f"{run_id}/1", cache_key("eta", fed_and_cached(1, 0), brought.get))
    assert scene.state.steps[f"{run_id}/1"].state is StepState.BLOCKED
    kept = CacheEntry(key=asked.key, project="eta", step_id="old/1", payload=calls.Payload(inline=b"7"), created_us=1)
    turn = scene.tell(m.LookedUp(asked.step_id, kept))
    assert value_of(delivered(turn)[1]) == 7
    assert scene.state.steps[f"{run_id}/1"].state is StepState.SUCCEEDED
    assert scene.types()[-1] == "step.ended"
    assert delivered(scene.tell(m.LookedUp(asked.step_id, kept))) == {}


def test_a_step_of_which_nothing_is_kept_runs() -> None:
    scene = Scene()
    run_id, fence = a_step_fed_by_what_runs(scene)
    (asked,) = lookups(scene.report(fence))
    scene.tell(m.LookedUp(asked.step_id, None))
    assert scene.state.steps[f"{run_id}/1"].state is StepState.WAITING


def test_what_was_to_be_looked_up_is_looked_up_after_a_restart() -> None:
    scene = Scene()
    run_id, fence = a_step_fed_by_what_runs(scene)
    (asked,) = lookups(scene.report(fence))
    again = Scene()
    again.machine.load(scene.rows_of([run_id]))
    assert lookups(again.tell(m.Started())) == [asked]
    again.tell(m.LookedUp(asked.step_id, None))
    assert again.state.steps[f"{run_id}/1"].state is StepState.WAITING


def test_a_word_about_a_step_that_was_cancelled_meanwhile_changes_nothing() -> None:
    scene = Scene()
    run_id, fence = a_step_fed_by_what_runs(scene)
    (asked,) = lookups(scene.report(fence))
    scene.order("run.cancel", run_id=run_id)
    said = len(scene.said)
    scene.tell(m.LookedUp(asked.step_id, None))
    assert len(scene.said) == said


def test_a_run_inside_that_had_failed_is_resumed_itself() -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    run = resumed(scene, before)
    call = calls.RunCall(project="eta", flow="train", parameters={"day": "monday"}, code_digest="c1")
    asked = calls.Command(ordinal=0, name="train", key="train#1", call=call, digest="d")
    failed = CommandRow(
        run_id=before.id, ordinal=7, kind="run", name="train", key="train#1", digest="d", command=asked,
        outcome=calls.Outcome(failure=Failure(kind="exception", message="boom")), issued_us=1,
    )  # fmt: skip
    issue(scene, run, [failed], asked, children={(before.id, 7): "old-child"})
    child = next(one for one in scene.state.runs.values() if one.parent_id == run.id)
    assert child.resumed_from == "old-child"
    other = resumed(scene, before, key="other")
    issue(scene, other, [failed], msgspec.structs.replace(asked, digest="e"), children={(before.id, 7): "old-child"})
    child = next(one for one in scene.state.runs.values() if one.parent_id == other.id)
    assert child.resumed_from is None


def retried(scene: Scene, before: Run, step: str, state: RunState = RunState.FAILED) -> dict[str, Any]:
    order = calls.Order(
        source="cli", id=step, kind="run.retry", principal="me", project="eta",
        data={"run_id": before.id, "step": step}, sha256="s",
    )  # fmt: skip
    ended = msgspec.structs.replace(before, state=state)
    answer: dict[str, Any] = scene.tell(
        Ordered(order=order, ended_as=state, ended=ended, steps=("fit", "fit#0"))
    ).answer
    return answer


@pytest.mark.parametrize("step", ["fit", "fit#0"])
def test_a_step_of_an_ended_run_that_is_retried_runs_again_although_it_had_succeeded(step: str) -> None:
    scene = Scene()
    before, rows = a_failed_run(scene)
    run = scene.state.runs[retried(scene, before, step)["done"]["run_id"]]
    assert (run.resumed_from, run.redo, run.code_version) == (before.id, (step,), before.code_version)
    assert issue(scene, run, rows, digested(0)) == {}
    assert scene.state.steps[f"{run.id}/0"].state is StepState.WAITING


def test_retrying_a_step_that_was_not_called_names_those_that_were() -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    assert "fit" in retried(scene, before, "fitt")["refused"]["reason"]
    assert retried(scene, before, "fit", RunState.SUCCEEDED)["refused"]["code"] == "ended"


def test_a_resumed_run_sees_the_tables_that_the_one_before_saw() -> None:
    scene = Scene()
    before, _ = a_failed_run(scene)
    run = resumed(scene, before)
    old = calls.PinnedTable(name="lake.x", metadata_location="old", snapshot_id=1)
    now = calls.PinnedTable(name="lake.x", metadata_location="new", snapshot_id=2)
    scene.state.tables.load("lake.x", now)
    assert scene.tell(m.Pinned(run.id, "table", "lake.x", msgspec.to_builtins(old))).answer == old
    assert scene.tell(m.Pinned(run.id, "table", "lake.x")).answer == old


def version_of_delay(version: int) -> calls.PinnedModel:
    return calls.PinnedModel(name="delay", version=version, digest="d", runtime="onnx", signature={}, metrics={})


def test_an_alias_means_one_version_for_the_whole_run_and_after_a_restart() -> None:
    scene, name = Scene(), "delay@champion"
    run_id = scene.a_running_run()
    first = version_of_delay(2)
    assert scene.tell(m.Pinned(run_id, "model", name, meant=first)).answer == first
    assert scene.tell(m.Pinned(run_id, "model", name, meant=version_of_delay(3))).answer == first
    assert scene.tell(m.Pinned(run_id, "model", "delay@3", meant=version_of_delay(3))).answer == version_of_delay(3)
    again = Scene()
    again.machine.load(scene.rows_of([run_id]))
    assert again.tell(m.Pinned(run_id, "model", name, meant=version_of_delay(3))).answer == first


def test_a_resumed_run_sees_the_version_that_the_alias_meant_before() -> None:
    scene, name = Scene(), "delay@champion"
    before, _ = a_failed_run(scene)
    run = resumed(scene, before)
    kept = msgspec.to_builtins(version_of_delay(2))
    assert scene.tell(m.Pinned(run.id, "model", name, kept, "there is none now")).answer == version_of_delay(2)


def test_an_alias_that_is_not_there_is_said_and_may_come_later() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    why = "Model 'delay' has no alias 'champion'; it has none"
    refused = scene.tell(m.Pinned(run_id, "model", "delay@champion", meant=why)).answer
    assert (refused.kind, refused.message) == ("not_found", why)
    assert scene.tell(m.Pinned(run_id, "model", "delay@champion", meant=version_of_delay(1))).answer.version == 1
