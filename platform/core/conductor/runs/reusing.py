"""Work that need not be done again: what a resumed run takes from the one before, and steps with `cache=True`.

A step whose inputs are known when it is called is answered as it is taken down. One that is fed by what is still to
come is looked up when the last of it is there (`LookUp`), before it asks for its place: until then it is BLOCKED, with
nothing missing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ....wire import calls
from ....wire.entries.steps import StepEnded
from ...records.runs import CommandRow, Run
from ...records.steps import StepState
from ...turn import Turn
from .. import messages as m
from ..state import State
from ..steps.stepping import step_of
from .answering import answer, ask
from .caching import cache_key, given_in, needs_of

replace = msgspec.structs.replace

BY_ORDER: Final = frozenset({"first", "result_timeout"})  # they name other commands by number


def reuse(state: State, turn: Turn, run: Run, row: CommandRow, event: m.Issued) -> bool:
    """Whether the command has an answer already, which it is given."""
    if row.kind == "step" and not {row.name, row.key}.isdisjoint(run.redo):
        return False
    fed_anew = not all(_is_reused(state, run, ordinal) for ordinal in needs_of(row.command))
    alike = () if fed_anew else event.reusable
    before = next((one for one in alike if is_reusable(one) and _is_same(one, row)), None)
    if before is not None and before.outcome is not None:
        _settle(state, turn, run, row, before.outcome, f"its result of run {before.run_id} is reused")
        return True
    key = cache_key(run.project, row.command, given_in(state, run.id))
    cached = (state.cache.get(key) or event.cached.get(key)) if key else None
    if cached is not None:
        why = f"its result of {cached.step_id} is cached"
        _settle(state, turn, run, row, calls.Outcome(payload=cached.payload), why)
    return cached is not None


def _is_reused(state: State, run: Run, ordinal: int) -> bool:
    """Whether a command was answered as it was issued: it brings what it brought to the run before."""
    row = state.commands.get((run.id, ordinal))
    return row is not None and row.ended_us == row.issued_us


def begun_before(row: CommandRow, event: m.Issued) -> str | None:
    """The run inside the run before that this command called, where it did not end well: it can be resumed."""
    called = (event.children.get((one.run_id, one.ordinal)) for one in event.reusable if _is_asked_alike(one, row))
    return next(filter(None, called), None)


def is_reusable(row: CommandRow) -> bool:
    """Whether what a run has recorded may serve another run."""
    return row.kind not in BY_ORDER and row.outcome is not None and row.outcome.failure is None


def _is_same(before: CommandRow, row: CommandRow) -> bool:
    """By name, key and input, and for what runs user code by that code too."""
    return _is_asked_alike(before, row) and code_of(row.command.call) == code_of(before.command.call) != ""


def _is_asked_alike(before: CommandRow, row: CommandRow) -> bool:
    """By name, key and input. What cannot be compared is not the same."""
    if before.key != row.key or (before.kind, before.name) != (row.kind, row.name):
        return False
    return row.digest is not None and before.digest == row.digest


def code_of(call: calls.Call) -> str:
    """The digest of the user's code that the call runs; `none` where it runs none."""
    return call.code_digest if isinstance(call, calls.StepCall | calls.RunCall) else "none"


def _settle(state: State, turn: Turn, run: Run, row: CommandRow, outcome: calls.Outcome, why: str) -> None:
    call = row.command.call
    if isinstance(call, calls.StepCall):
        step = replace(step_of(run, row, call, turn.now_us), state=StepState.SUCCEEDED, ended_us=turn.now_us)
        state.steps_of.add(run.id, step.id)
        state.steps.put(step.id, step)
        state.say_of_run(turn, run.id, StepEnded(step_id=step.id, name=step.name, state="SUCCEEDED", reason=why))
    answer(state, turn, run.id, row.ordinal, outcome)


def looked_up(state: State, turn: Turn, event: m.LookedUp) -> None:
    """A kept result answers for the step; otherwise it asks for its place."""
    step = state.steps.get(event.step_id)
    if step is None or step.state is not StepState.BLOCKED or step.missing:
        return
    if event.entry is None:
        ask(state, turn, step)
        return
    state.steps.put(step.id, replace(step, state=StepState.SUCCEEDED, ended_us=turn.now_us))
    why = f"its result of {event.entry.step_id} is cached"
    state.say_of_run(turn, step.run_id, StepEnded(step_id=step.id, name=step.name, state="SUCCEEDED", reason=why))
    answer(state, turn, step.run_id, step.ordinal, calls.Outcome(payload=event.entry.payload))
