"""What a person says about a run that needs attention: it was done, do it again, it has failed."""

from __future__ import annotations

from typing import Any

import msgspec

from ....wire import calls
from ....wire.entries.events import CommandDone, CommandRefused
from ....wire.entries.steps import StepEnded
from ....wire.terms import Failure
from ...records.runs import Run, RunState
from ...records.steps import Step, StepState
from ...turn import Turn
from ..state import State
from ..steps.placing import place
from .answering import answer, ask, value
from .executing import end_run
from .failing import give_up, resolve

replace = msgspec.structs.replace

Answer = CommandDone | CommandRefused


def decide(state: State, turn: Turn, order: calls.Order, run: Run, data: dict[str, Any]) -> Answer:
    """`run.accept` with a `value`, `run.retry` (with `force` while the lost process may live), or `run.fail`."""
    if run.state is not RunState.NEEDS_ATTENTION:
        return _refuse(order, "conflict", f"Run {run.id} is {run.state} and needs no attention")
    named = str(data.get("step") or "")
    found = [step for step in _in_doubt(state, run.id) if named in ("", step.name, step.id, _key(state, step))]
    if len(found) > 1 or (named and not found):
        known = ", ".join(_key(state, step) for step in _in_doubt(state, run.id)) or "none"
        return _refuse(order, "not_found", f"Say which step of run {run.id}; these need attention: {known}")
    return _of_step(state, turn, order, found[0], data) if found else _of_run(state, turn, order, run, data)


def _of_step(state: State, turn: Turn, order: calls.Order, step: Step, data: dict[str, Any]) -> Answer:
    attention = step.attention
    assert attention is not None
    if order.kind == "run.retry" and not attention.gone and not data.get("force"):
        what = f"The process of {step.name} was not seen to end and may still be at work; force it if you know better"
        return _refuse(order, "conflict", what)
    resolve(state, attention.fence)
    if order.kind == "run.accept":
        done = replace(step, state=StepState.SUCCEEDED, attention=None, failure=None, ended_us=turn.now_us)
        state.steps.put(step.id, done)
        body = StepEnded(step_id=step.id, name=step.name, state="SUCCEEDED", reason=f"accepted by {order.principal}")
        state.say_of_run(turn, step.run_id, body)
        answer(state, turn, step.run_id, step.ordinal, value(data.get("value")))
    elif order.kind == "run.retry":
        ask(state, turn, replace(step, attention=None, failure=None))
    else:
        give_up(state, turn, step, _failed(order, data, step.name))
    go_on(state, turn, step.run_id)
    return CommandDone(command=order.id, result={"run_id": step.run_id})


def _of_run(state: State, turn: Turn, order: calls.Order, run: Run, data: dict[str, Any]) -> Answer:
    if order.kind == "run.accept":
        return _refuse(
            order, "conflict", f"Run {run.id} has no step whose result could be accepted; retry it or fail it"
        )
    if order.kind == "run.retry":
        go_on(state, turn, run.id)
    else:
        end_run(state, turn, run, _failed(order, data, ""))
    return CommandDone(command=order.id, result={"run_id": run.id})


def go_on(state: State, turn: Turn, run_id: str) -> None:
    """The run is executed again, unless another step of it still needs attention."""
    run = state.runs[run_id]
    if run.state is RunState.NEEDS_ATTENTION and not _in_doubt(state, run_id):
        going = replace(run, state=RunState.RUNNING, failure=None)
        state.runs.put(run_id, going)
        place(state, turn, going)


def seen_gone(state: State, worker: str) -> None:
    """The process of these attempts has ended: a person may have them tried again."""
    for step_id in [state.doubtful[fence] for fence in state.doubtful]:
        step = state.steps[step_id]
        if step.attention is not None and step.attention.worker == worker and not step.attention.gone:
            state.steps.put(step.id, replace(step, attention=replace(step.attention, gone=True)))


def _in_doubt(state: State, run_id: str) -> list[Step]:
    steps = [state.steps[state.doubtful[fence]] for fence in sorted(state.doubtful)]
    return [step for step in steps if step.run_id == run_id]


def _key(state: State, step: Step) -> str:
    return state.commands[step.run_id, step.ordinal].key


def _failed(order: calls.Order, data: dict[str, Any], step: str) -> Failure:
    reason = str(data.get("reason") or "it was given up")
    return Failure(kind="lost", message=f"{reason} (said {order.principal})", step=step)


def _refuse(order: calls.Order, code: str, reason: str) -> CommandRefused:
    return CommandRefused(command=order.id, code=code, reason=reason)
