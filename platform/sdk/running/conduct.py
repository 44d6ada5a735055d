"""Calling a flow function inside an execution, and saying how it ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import InvalidInput
from ...wire.calls import INLINE_MAX_BYTES, Outcome, PinnedModel
from ...wire.terms import JSON, Failure
from ..context import Current, execution, model_pins, position
from ..failure import failure_of
from .interrupts import Closed
from .mismatch import CodeMismatch, mismatch_failure
from .replay import Execution
from .serialise import encode

if TYPE_CHECKING:
    from ..flow import Flow


@contextmanager
def within(running: Execution | None, place: Current, pins: Callable[[str], PinnedModel]) -> Iterator[None]:
    """The context of user code: in a flow with its execution, in a step with none."""
    tokens = execution.set(running), position.set(place), model_pins.set(pins)
    try:
        yield
    finally:
        execution.reset(tokens[0])
        position.reset(tokens[1])
        model_pins.reset(tokens[2])


def conduct(flow: Flow[Any, Any], arguments: Mapping[str, Any], running: Execution) -> Any:
    """What the flow function returns, once everything it started has ended."""
    returned = flow.function(**arguments)
    if inspect.iscoroutine(returned):
        returned = _completed(returned, running)
    value = running.resolved(returned)
    running.settle()
    return value


def _completed(main: Coroutine[Any, Any, Any], running: Execution) -> Any:
    from .recorded_loop import RecordedLoop

    running.loop = RecordedLoop(running)
    try:
        return running.loop.complete(main)
    finally:
        running.loop = None


def conclude(
    find: Callable[[], Flow[Any, Any]], given: Mapping[str, Any], running: Execution
) -> tuple[Outcome, JSON] | None:
    """How the run ended, and its result as JSON where it has such a form; None where the execution was closed."""
    try:
        flow = find()
        try:
            arguments = flow.parameters.converted(given)
        except InvalidInput as error:
            return Outcome(failure=Failure(kind="bad_parameters", message=str(error))), None
        value = conduct(flow, arguments, running)
        ended = Outcome(payload=running.keep(encode(value, place="the flow's result"))), preview(value)
    except Closed:
        return None
    except CodeMismatch as mismatch:
        return Outcome(failure=mismatch_failure(mismatch)), None
    except BaseException as error:  # SystemExit of user code too: it ends the run, not the host
        ended = Outcome(failure=failure_of(error)), None
    if running.closed:
        return None
    if running.mismatch is not None:  # the function swallowed it
        return Outcome(failure=mismatch_failure(running.mismatch)), None
    return ended


def preview(value: object) -> JSON:
    """`value` as JSON if it has that form and is small, otherwise None."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return msgspec.json.decode(encoded) if len(encoded) <= INLINE_MAX_BYTES else None
