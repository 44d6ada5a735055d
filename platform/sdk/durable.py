"""What a flow may ask of time, chance and the world, answered the same in every replay.

Outside a flow each is the plain thing."""

from __future__ import annotations

import random as chance
import time
import uuid as identifiers
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..wire.calls import Call, NowCall, PublishCall, RandomCall, SleepCall, UuidCall, WaitCall
from .context import execution
from .duration import Duration, seconds
from .failure import StepFailed
from .running.digest import digest
from .running.interrupts import WaitTimeout
from .running.replay import Execution, Wish, current_execution

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """An event that the run waited for. `data` is what its sender gave, as JSON."""

    id: str
    source: str
    type: str
    subject: str
    data: Any


def sleep(duration: Duration) -> Any:
    """Waits; in a flow the time counts from the first asking, however often the flow is taken up again.

    In an `async def` flow it is awaited: `await sleep("1h")`.
    """
    length_s = seconds(duration, where="sleep")
    running = execution.get()
    if running is None:
        time.sleep(length_s)
        return None
    return _waited(running, Wish("sleep", SleepCall(duration_us=round(length_s * 1_000_000)), digest=digest(length_s)))


def wait_for(event_type: str, *, where: str | None = None, timeout: Duration | None = None) -> Any:
    """The next `Event` of that type, of those accepted since the run began: the oldest, and each once per run.

    `where` is CEL over `event` and `data`. Raises WaitTimeout when none came within `timeout`. Only in a flow; in
    an `async def` flow it is awaited.
    """
    running = current_execution("wait_for()")
    limit_s = None if timeout is None else seconds(timeout, where="wait_for: timeout")
    call = WaitCall(
        event_type=event_type, where=where, timeout_us=None if limit_s is None else round(limit_s * 1_000_000)
    )
    return _waited(running, Wish("wait_for", call, digest=digest([event_type, where, limit_s])))


def now() -> datetime:
    """The time, in UTC."""
    running = execution.get()
    if running is None:
        return datetime.now(UTC)
    return EPOCH + timedelta(microseconds=int(_ask(running, "now", NowCall())))


def uuid() -> identifiers.UUID:
    running = execution.get()
    return identifiers.uuid4() if running is None else identifiers.UUID(str(_ask(running, "uuid", UuidCall())))


def random() -> float:
    """A number in [0, 1)."""
    running = execution.get()
    return chance.random() if running is None else float(_ask(running, "random", RandomCall()))


def publish(event_type: str, data: object = None) -> None:
    """Says an event to the world, exactly once in the log; flows that listen for its type start. Only in a flow."""
    running = current_execution("publish()")
    try:
        plain = msgspec.json.decode(msgspec.json.encode(data))
    except TypeError as error:
        what = f"publish({event_type!r}): its data is not JSON ({error})"
        raise InvalidInput(what, remedy="Publish numbers, text, lists and dictionaries") from None
    call = PublishCall(event_type=event_type, data=plain)
    running.issue(Wish("publish", call, digest=digest([event_type, plain])))


def _waited(running: Execution, wish: Wish) -> Any:
    """What the wait gives: at once, or for the tasks of an async flow something to await."""
    ordinal = running.issue(wish)
    if running.loop is not None:
        return _told(running, ordinal)
    try:
        return _event(running.result(ordinal))
    except StepFailed as error:
        raise _timeout(error) from None


async def _told(running: Execution, ordinal: int) -> Any:
    try:
        return _event(await running.awaited(ordinal))
    except StepFailed as error:
        raise _timeout(error) from None


def _event(told: Any) -> Event | None:
    return None if told is None else Event(**told)


def _timeout(error: StepFailed) -> Exception:
    return WaitTimeout(error.message, remedy="Wait longer, or go on without it") if error.kind == "timeout" else error


def _ask(running: Execution, name: str, call: Call, given: object = None) -> Any:
    return running.result(running.issue(Wish(name, call, digest=digest(given))))
