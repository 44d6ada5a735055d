"""Which short steps go to a worker together: one place, one call, a fence each.

    waiting, by kind ──► one is granted a place ──► as many of its kind as are short work ──► in order, in one call

A kind is what a worker cannot tell apart but for run and arguments: project, code, packages, demand. They are of one
fan-out mostly, or of many runs that do the same. How long one takes is measured by what ended of the same code; while
that is not known, or has been long, a step goes alone. So does one
that died together with others, one that may start only once, and one that holds a device.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ....wire import calls
from ....wire.terms import Demand
from ...records.steps import Step, StepState
from ..state import State
from .members import is_gang

WORK_US: Final = 50_000
CALL_MAX: Final = 256
CODES_MAX: Final = 10_000


class Kind(NamedTuple):
    """What is the same in steps that may share a call."""

    project: str
    function: str
    code_digest: str
    code_version: str
    env: tuple[str, ...]
    secrets: tuple[str, ...]
    demand: Demand
    priority: int


def kind_of(step: Step) -> Kind | None:
    """None where the step goes alone."""
    demand = step.demand
    if step.effect != "retry" or demand.gpus_milli or is_gang(step) or step.alone or step.checkpoint is not None:
        return None
    code = (step.function, step.code_digest, step.code_version)
    return Kind(step.project, *code, step.env, step.secrets, demand, step.priority)


def queue(state: State, step: Step) -> None:
    """The step waits from now on."""
    kind = kind_of(step)
    if kind is not None:
        state.waiting_of.add(kind, step.id)


def unqueue(state: State, step: Step) -> None:
    kind = kind_of(step)
    if kind is not None:
        state.waiting_of.discard(kind, step.id)


def companions(state: State, step: Step) -> list[Step]:
    """Those that go along with a waiting step to the place that it was granted, in the order they came."""
    kind = kind_of(step)
    pace_us = state.paces.get(_code(step))
    if kind is None or pace_us is None:
        return []
    most = min(WORK_US // max(pace_us, 1), CALL_MAX)
    found = [state.steps[step_id] for step_id in state.waiting_of.first(kind, most) if step_id != step.id]
    return [each for each in found if each.state is StepState.WAITING][: max(most - 1, 0)]


def is_short(state: State, step: Step) -> bool:
    """Whether what ended of the same code took so little that it may go together with others."""
    pace_us = state.paces.get(_code(step))
    return pace_us is not None and pace_us <= WORK_US


def learn_pace(state: State, step: Step, report: calls.Report) -> None:
    """What the step took counts for half: the first of a process loads its code, and is forgotten soon."""
    taken_us = max(report.ended_us - report.started_us, 0)
    code = _code(step)
    before = state.paces.get(code)
    if before is None and len(state.paces) >= CODES_MAX:
        state.paces.remove(next(iter(state.paces)))
    state.paces.put(code, taken_us if before is None else (before + taken_us) // 2)


def _code(step: Step) -> str:
    return f"{step.function} {step.code_digest or step.code_version}"
