"""Work that need not be done again: what a resumed run takes from the one before, and steps with `cache=True`."""

from __future__ import annotations

from typing import Final

import msgspec

from ....wire import calls
from ....wire.ids import digest_of
from ....wire.types import StepEnded
from ...records import CacheEntry, CommandRow, Run, Step, StepState
from ...turn import Turn
from .. import messages as m
from ..state import State
from ..steps.stepping import step_of
from .answering import answer

replace = msgspec.structs.replace

BY_ORDER: Final = frozenset({"first", "result_timeout"})  # they name other commands by number


def reuse(state: State, turn: Turn, run: Run, row: CommandRow, event: m.Issued) -> bool:
    """Whether the command has an answer already, which it is given."""
    before = next((one for one in event.reusable if _is_same(one, row)), None)
    if before is not None and before.outcome is not None:
        _settle(state, turn, run, row, before.outcome, f"its result of run {before.run_id} is reused")
        return True
    key = cache_key(run.project, row.command)
    cached = (state.cache.get(key) or event.cached.get(key)) if key else None
    if cached is not None:
        _settle(
            state, turn, run, row, calls.Outcome(payload=cached.payload), f"its result of {cached.step_id} is cached"
        )
    return cached is not None


def is_reusable(row: CommandRow) -> bool:
    """Whether what a run has recorded may serve another run."""
    return row.kind not in BY_ORDER and row.outcome is not None and row.outcome.failure is None


def _is_same(before: CommandRow, row: CommandRow) -> bool:
    """By name, key and input, and for what runs user code by that code too. What cannot be compared is not the same."""
    if (before.kind, before.name, before.key) != (row.kind, row.name, row.key) or not is_reusable(before):
        return False
    if row.digest is None or before.digest != row.digest:
        return False
    return code_of(row.command.call) == code_of(before.command.call) != ""


def code_of(call: calls.Call) -> str:
    """The digest of the user's code that the call runs; `none` where it runs none."""
    return call.code_digest if isinstance(call, calls.StepCall | calls.RunCall) else "none"


def cache_key(project: str, command: calls.Command) -> str:
    """What a step's result is known by across runs; empty where it is not to be kept."""
    call = command.call
    if not isinstance(call, calls.StepCall) or not call.cache or not call.code_digest or command.digest is None:
        return ""
    return digest_of("cache", project, call.function, call.code_digest, command.digest)


def remember(state: State, turn: Turn, step: Step, payload: calls.Payload) -> None:
    """Keeps the result of a step with `cache=True` for other runs."""
    if step.cache_key:
        entry = CacheEntry(
            key=step.cache_key, project=step.project, step_id=step.id, payload=payload, created_us=turn.now_us
        )
        state.cache.put(entry.key, entry)


def _settle(state: State, turn: Turn, run: Run, row: CommandRow, outcome: calls.Outcome, why: str) -> None:
    call = row.command.call
    if isinstance(call, calls.StepCall):
        step = replace(step_of(run, row, call, turn.now_us), state=StepState.SUCCEEDED, ended_us=turn.now_us)
        state.steps_of.add(run.id, step.id)
        state.steps.put(step.id, step)
        state.say_of_run(turn, run.id, StepEnded(step_id=step.id, name=step.name, state="SUCCEEDED", reason=why))
    answer(state, turn, run.id, row.ordinal, outcome)
