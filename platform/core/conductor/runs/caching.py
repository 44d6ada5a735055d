"""What the results of steps with `cache=True` are known by, across runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ....wire import calls
from ....wire.ids import digest_of
from ...records.steps import CacheEntry, Step
from ...turn import Turn
from .. import messages as m
from ..state import State

Given = Callable[[int], calls.Payload | None]


def may_be_cached(command: calls.Command) -> bool:
    return isinstance(command.call, calls.StepCall) and command.call.cache


def needs_of(command: calls.Command) -> tuple[int, ...]:
    return command.call.needs if isinstance(command.call, calls.StepCall) else ()


def cache_key(project: str, command: calls.Command, given: Given) -> str:
    """What a step's result is known by across runs; empty where it is not to be kept, or not yet known.

    A future among its inputs counts by what it brought, which `given` tells by the command's number.
    """
    call = command.call
    if not isinstance(call, calls.StepCall) or not call.cache or not call.code_digest or command.digest is None:
        return ""
    fed = [given(ordinal) for ordinal in call.needs]
    if any(payload is None for payload in fed):
        return ""
    inputs = [content_digest(payload) for payload in fed if payload is not None]
    return digest_of("cache", project, call.function, call.code_digest, command.digest, *inputs)


def content_digest(payload: calls.Payload) -> str:
    return payload.digest or hashlib.sha256(payload.inline or b"").hexdigest()


def given_in(state: State, run_id: str) -> Given:
    """What the commands of a run have brought by now."""

    def given(ordinal: int) -> calls.Payload | None:
        row = state.commands.get((run_id, ordinal))
        return row.outcome.payload if row is not None and row.outcome is not None else None

    return given


def remember(state: State, turn: Turn, step: Step, payload: calls.Payload) -> None:
    """Keeps the result of a step with `cache=True` for other runs."""
    key = _key_of(state, step)
    if key:
        entry = CacheEntry(key=key, project=step.project, step_id=step.id, payload=payload, created_us=turn.now_us)
        state.cache.put(entry.key, entry)


def look_up(state: State, turn: Turn, step: Step) -> bool:
    """Whether the rows are asked for a result of a step that was fed: it waits for their word."""
    row, run = state.commands.get((step.run_id, step.ordinal)), state.runs.get(step.run_id)
    if row is None or run is None or not step.needs or not {row.name, row.key}.isdisjoint(run.redo):
        return False
    key = _key_of(state, step)
    if key:
        turn.effects.append(m.LookUp(step.id, key))
    return bool(key)


def _key_of(state: State, step: Step) -> str:
    return cache_key(step.project, state.commands[step.run_id, step.ordinal].command, given_in(state, step.run_id))
