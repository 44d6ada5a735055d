"""A flow called directly: every command is carried out in this process at the moment it is issued."""

from __future__ import annotations

import heapq
import random
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import msgspec

from ...artifacts.encoded import Encoded
from ...core.model_choice import ModelChoice, choice_of
from ...core.retrying import is_retried
from ...errors import InvalidInput, NotFound, did_you_mean
from ...wire.calls import (
    Command,
    DeadlineCall,
    FirstCall,
    NowCall,
    Outcome,
    Payload,
    PinnedModel,
    PublishCall,
    RandomCall,
    RegisterCall,
    RunCall,
    SleepCall,
    StepCall,
    UuidCall,
    WaitCall,
)
from ...wire.terms import Failure
from ..context import Current
from ..failure import failure_of
from .conduct import conduct, within
from .interrupts import Closed
from .invoke import invoke
from .mismatch import CodeMismatch
from .replay import Execution, Wish
from .serialise import decode, encode

if TYPE_CHECKING:
    from ..flow import Flow

RUN_ID = "local"


def run_inline(flow: Flow[Any, Any], arguments: Mapping[str, Any], run_id: str = RUN_ID) -> Any:
    """What the flow returns. User code's own exception passes through; a step's is StepFailed."""
    engine = Inline(flow.project)
    engine.execution = Execution(run_id, engine)
    with within(engine.execution, Current(run_id=run_id, project=flow.project), engine.pin):
        return conduct(flow, arguments, engine.execution)


class Inline:
    """Runs steps with their retries, without waiting between them; keeps models and events in memory."""

    execution: Execution

    def __init__(self, project: str) -> None:
        self._project = project
        self._outcomes: dict[int, Outcome] = {}
        self._models: dict[str, list[RegisterCall]] = {}
        self._pins: dict[str, PinnedModel] = {}
        self._left: list[int] = []  # of the last `first`, what it did not give
        self._sleeping: list[tuple[float, int]] = []
        self._published: list[dict[str, Any]] = []

    def send(self, command: Command, wish: Wish) -> None:
        if isinstance(command.call, SleepCall):
            due_s = time.monotonic() + command.call.duration_us / 1_000_000
            heapq.heappush(self._sleeping, (due_s, command.ordinal))
        else:
            self._end(command.ordinal, self._apart(lambda: self._carried_out(command, wish)))

    def _apart(self, work: Callable[[], Outcome]) -> Outcome:
        """What `work` gives; under the loop of an async flow in a thread of its own, which may have its own loop."""
        if self.execution.loop is None:
            return work()
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(copy_context().run, work).result()

    def idle(self) -> bool:
        """Nothing else is left to do: the next sleep may pass."""
        if not self._sleeping:
            return False
        due_s, ordinal = heapq.heappop(self._sleeping)
        time.sleep(max(0.0, due_s - time.monotonic()))
        self._end(ordinal, Outcome())
        return True

    def _end(self, ordinal: int, outcome: Outcome) -> None:
        self._outcomes[ordinal] = outcome
        self.execution.deliver(ordinal, outcome)

    def keep(self, encoded: Encoded) -> Payload:
        content = encoded.content
        return Payload(codec=encoded.codec, inline=content, size_bytes=len(content))

    def content(self, payload: Payload) -> memoryview:
        return memoryview(bytearray(payload.inline or b""))

    def pin(self, name: str) -> PinnedModel:
        """The first time decides, for all of the run."""
        if name not in self._pins:
            self._pins[name] = self._version(choice_of(name))
        return self._pins[name]

    def _version(self, asked: ModelChoice) -> PinnedModel:
        versions = self._models.get(asked.name, [])
        if not versions:
            raise NotFound(f"There is no model {asked.name!r}", remedy=did_you_mean(asked.name, self._models))
        if asked.alias:
            what = f"A flow called directly knows no aliases, and none {asked.alias!r} of model {asked.name!r}"
            raise NotFound(what, remedy="Ask for a version, or run it on a platform")
        version = len(versions) if asked.version is None else asked.version
        if not 1 <= version <= len(versions):
            what = f"Model {asked.name!r} has no version {version}"
            raise NotFound(what, remedy=f"This flow has registered {len(versions)}")
        found = versions[version - 1]
        return PinnedModel(
            name=asked.name,
            version=version,
            digest=found.digest,
            runtime=found.runtime,
            signature=found.signature,
            metrics=found.metrics,
        )

    def _carried_out(self, command: Command, wish: Wish) -> Outcome:
        match command.call:
            case StepCall() as call:
                assert wish.function is not None
                return self._run(command, call, wish.function)
            case RegisterCall() as call:
                versions = self._models.setdefault(call.name, [])
                versions.append(call)
                return _json({"name": call.name, "version": len(versions)})
            case RunCall():
                return self._run_inside(command, wish.function)
            case FirstCall(of=ordinals, again=again):
                self._left = sorted([*ordinals, *(self._left if again is not None else ())], reverse=True)
                return _json(self._left.pop())
            case DeadlineCall():
                return _json(False)
            case WaitCall() as wait:
                return self._waited(wait)
            case NowCall():
                return _json(time.time_ns() // 1000)
            case UuidCall():
                return _json(str(uuid.uuid4()))
            case RandomCall():
                return _json(random.random())
            case PublishCall() as said:
                event = {
                    "id": f"{self.execution.run_id}/{command.ordinal}",
                    "source": "headwater",
                    "type": said.event_type,
                }
                self._published.append({**event, "subject": "", "data": said.data})
                return _json(event["id"])
        raise AssertionError(command)

    def _run_inside(self, command: Command, flow: Any) -> Outcome:
        try:
            value = flow.inside(command.call, f"{self.execution.run_id}/{command.ordinal}")
            return Outcome(payload=self.keep(encode(value, place=f"The result of {command.name}")))
        except (KeyboardInterrupt, Closed, CodeMismatch):
            raise
        except BaseException as error:
            return Outcome(failure=failure_of(error, step=command.name))

    def _waited(self, call: WaitCall) -> Outcome:
        """Of the events that this very flow has published; nobody else can be heard here."""
        for event in self._published:
            if event["type"] == call.event_type and _passes(call.where, event):
                self._published.remove(event)
                return _json(event)
        message = f"No event {call.event_type!r} was published by this flow, and a direct call hears no other"
        if call.timeout_us is None:
            raise InvalidInput(message, remedy="Give wait_for a timeout, publish() the event before, or use a platform")
        return Outcome(failure=Failure(kind="timeout", message=message))

    def _run(self, command: Command, call: StepCall, function: Callable[..., Any]) -> Outcome:
        fed_by_failed = next((failed for need in call.needs if (failed := self._outcomes[need].failure)), None)
        if fed_by_failed is not None:
            return Outcome(failure=fed_by_failed)
        run_id = self.execution.run_id
        failure: Failure | None = None
        for attempt in range(1, call.retries + 2):
            place = Current(run_id, self._project, command.name, f"{run_id}/{command.ordinal}", attempt, attempt)
            try:
                with within(None, place, self.pin):
                    given = decode(call.arguments.codec, self.content(call.arguments), self.execution.result_of)
                    return Outcome(payload=self.keep(invoke(function, given)))
            except (KeyboardInterrupt, Closed, CodeMismatch):
                raise
            except BaseException as error:
                failure = failure_of(error, step=command.name)
                if not is_retried(call.retry_on, failure):
                    break
        return Outcome(failure=failure)


def _passes(where: str | None, event: dict[str, Any]) -> bool:
    if where is None:
        return True
    import cel

    return cel.compile(where).execute({"event": event, "data": event["data"]}) is True


def _json(value: object) -> Outcome:
    encoded = msgspec.json.encode(value)
    return Outcome(payload=Payload(codec="json", inline=encoded, size_bytes=len(encoded)))
