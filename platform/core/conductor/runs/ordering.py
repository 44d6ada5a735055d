"""Commands to the Conductor. Every one ends in exactly one log entry that answers it, refusals included."""

from __future__ import annotations

from typing import Any, Final

from ....errors import did_you_mean
from ....wire.calls import Order
from ....wire.entries.events import CommandDone, CommandRefused
from ....wire.ids import digest_of
from ....wire.labels import problem_of
from ...inbox import Ordered
from ...records.runs import Run, RunState
from ...trigger import misfit
from ...turn import Turn
from ..state import State
from ..triggers.kept_events import replay_events
from ..triggers.letters import discard, replay
from ..triggers.pausing import pause, resume
from .attending import decide
from .executing import cancel
from .resuming import RESUMABLE, resume_run, retry_ended
from .starting import Start, new_run

KINDS: Final = (
    "run.start",
    "run.cancel",
    "run.resume",
    "run.accept",
    "run.retry",
    "run.fail",
    "trigger.pause",
    "trigger.resume",
    "event.replay",
    "letter.replay",
    "letter.discard",
)


def obey(state: State, turn: Turn, asked: Ordered) -> CommandDone | CommandRefused:
    """What the command leads to, or why it is refused."""
    order = asked.order
    data = order.data if isinstance(order.data, dict) else {}
    if asked.refused:
        return _refuse(order, "invalid_input", asked.refused)
    match order.kind:
        case "run.start":
            return _start(state, turn, order, data, asked.known_run)
        case "run.cancel":
            return _cancel(state, turn, order, data, asked.ended_as)
        case "run.resume":
            return resume_run(state, turn, order, state.runs.get(str(data.get("run_id", ""))) or asked.ended)
        case "run.retry" if asked.ended is not None and asked.ended.state in RESUMABLE:
            return retry_ended(state, turn, asked, asked.ended)
        case "run.accept" | "run.retry" | "run.fail":
            run = _living(state, order, data, asked.ended_as)
            return run if isinstance(run, CommandRefused) else decide(state, turn, order, run, data)
        case "trigger.pause":
            return pause(state, turn, order, data)
        case "trigger.resume":
            return resume(state, turn, order, data)
        case "event.replay":
            return replay_events(state, turn, asked)
        case "letter.replay":
            return replay(state, turn, asked)
        case "letter.discard":
            return discard(state, turn, asked)
    near = did_you_mean(order.kind, KINDS)
    return _refuse(order, "unknown_command", f"The Conductor knows no command {order.kind!r}. {near}")


def _start(
    state: State, turn: Turn, order: Order, data: dict[str, Any], known_run: str | None
) -> CommandDone | CommandRefused:
    name, parameters = str(data.get("flow", "")), data.get("parameters") or {}
    flow = _find_flow(state, name, data.get("project"))
    if isinstance(flow, str):
        return _refuse(order, "not_found", flow)
    schema = state.flows[flow].spec.parameters
    problem = misfit(schema, parameters) if isinstance(parameters, dict) else "the parameters must be an object"
    if problem:
        return _refuse(order, "bad_parameters", f"Flow {flow[1]!r}: {problem}")
    labels = data.get("labels") or {}
    if wrong := problem_of(labels):
        return _refuse(order, "bad_labels", f"Flow {flow[1]!r}: {wrong}")
    key = call_key(order)
    before = state.run_of_key.get(key) or known_run
    if before is None:
        start = Start(flow=flow, parameters=parameters, idempotency_key=key, principal=order.principal, labels=labels)
        before = new_run(state, turn, start).id
    return CommandDone(command=order.id, result={"run_id": before})


def call_key(order: Order) -> str:
    """The idempotency key of a run that a command starts: the caller's own, otherwise the command's identity."""
    own = order.data.get("key") if isinstance(order.data, dict) else None
    return digest_of("call", order.project, str(own or f"{order.source}/{order.id}"))


def _find_flow(state: State, name: str, project: str | None) -> tuple[str, str] | str:
    if "/" in name:
        project, _, name = name.partition("/")
    found = [flow for flow in state.flows if flow[1] == name and project in (None, "", flow[0])]
    if len(found) == 1:
        return found[0]
    if found:
        return (
            f"Flow {name!r} is in projects {', '.join(sorted(flow[0] for flow in found))}; say which, as project/flow"
        )
    known = [f"{flow[0]}/{flow[1]}" for flow in state.flows]
    near = did_you_mean(name, [flow[1] for flow in state.flows]) or "Nothing is deployed yet"
    return f"No flow of {len(known)} is named {name!r}. {near}"


def _cancel(
    state: State, turn: Turn, order: Order, data: dict[str, Any], ended_as: str
) -> CommandDone | CommandRefused:
    run = _living(state, order, data, ended_as)
    if isinstance(run, CommandRefused):
        return run
    if run.state is not RunState.CANCELLING:
        cancel(state, turn, run, str(data.get("reason") or f"cancelled by {order.principal}"))
    return CommandDone(command=order.id, result={"run_id": run.id})


def _living(state: State, order: Order, data: dict[str, Any], ended_as: str) -> Run | CommandRefused:
    """The run that the command is about, unless it has ended or never was."""
    run_id = str(data.get("run_id", ""))
    run = state.runs.get(run_id)
    if run is not None and not run.state.ended:
        return run
    how = run.state if run is not None else ended_as
    if how:
        what = order.kind.removeprefix("run.")
        return _refuse(order, "ended", f"Run {run_id} has ended as {how}: there is nothing to {what}")
    return _refuse(order, "not_found", f"There is no run {run_id!r}")


def _refuse(order: Order, code: str, reason: str) -> CommandRefused:
    return CommandRefused(command=order.id, code=code, reason=reason)
