"""What a flow may ask of time and chance, answered the same in every replay; outside a flow, the plain thing."""

from __future__ import annotations

import random as chance
import time
import uuid as identifiers
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ..errors import InvalidInput
from ..wire.calls import Call, NowCall, PublishCall, RandomCall, SleepCall, UuidCall
from .context import execution
from .digest import digest
from .duration import Duration, seconds
from .replay import Execution, Wish, current_execution

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sleep(duration: Duration) -> None:
    """Waits; in a flow the time counts from the first asking, however often the flow is taken up again."""
    length_s = seconds(duration, where="sleep")
    running = execution.get()
    if running is None:
        time.sleep(length_s)
    else:
        _ask(running, "sleep", SleepCall(duration_us=round(length_s * 1_000_000)), length_s)


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


def _ask(running: Execution, name: str, call: Call, given: object = None) -> Any:
    return running.result(running.issue(Wish(name, call, digest=digest(given))))
