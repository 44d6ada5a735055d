"""A flow called directly: every command is carried out in this process at the moment it is issued."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..artifacts.encoded import Encoded
from ..errors import NotFound, did_you_mean
from ..wire.calls import (
    Command,
    NowCall,
    Outcome,
    Payload,
    PinnedModel,
    PublishCall,
    RandomCall,
    RegisterCall,
    SleepCall,
    StepCall,
    UuidCall,
)
from ..wire.types import Failure
from .conduct import conduct, within
from .context import Current
from .failure import failure_of
from .invoke import invoke
from .replay import Closed, CodeMismatch, Execution, Wish
from .serialise import decode

if TYPE_CHECKING:
    from .flow import Flow

RUN_ID = "local"


def run_inline(flow: Flow[Any, Any], arguments: Mapping[str, Any]) -> Any:
    """What the flow returns. User code's own exception passes through; a step's is StepFailed."""
    engine = Inline(flow.project)
    engine.execution = Execution(RUN_ID, engine)
    with within(engine.execution, Current(run_id=RUN_ID, project=flow.project), engine.pin):
        return conduct(flow, arguments, engine.execution)


class Inline:
    """Runs steps with their retries, without waiting between them; keeps models and events in memory."""

    execution: Execution

    def __init__(self, project: str) -> None:
        self._project = project
        self._outcomes: dict[int, Outcome] = {}
        self._models: dict[str, list[RegisterCall]] = {}

    def send(self, command: Command, wish: Wish) -> None:
        outcome = self._carried_out(command, wish)
        self._outcomes[command.ordinal] = outcome
        self.execution.deliver(command.ordinal, outcome)

    def keep(self, encoded: Encoded) -> Payload:
        content = encoded.content
        return Payload(codec=encoded.codec, inline=content, size_bytes=len(content))

    def content(self, payload: Payload) -> memoryview:
        return memoryview(bytearray(payload.inline or b""))

    def pin(self, name: str) -> PinnedModel:
        if name not in self._models:
            raise NotFound(f"There is no model {name!r}", remedy=did_you_mean(name, self._models))
        newest = self._models[name][-1]
        return PinnedModel(
            name=name,
            version=len(self._models[name]),
            digest=newest.digest,
            runtime=newest.runtime,
            signature=newest.signature,
            metrics=newest.metrics,
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
            case SleepCall(duration_us=length_us):
                time.sleep(length_us / 1_000_000)
                return Outcome()
            case NowCall():
                return _json(time.time_ns() // 1000)
            case UuidCall():
                return _json(str(uuid.uuid4()))
            case RandomCall():
                return _json(random.random())
            case PublishCall():
                return Outcome()

    def _run(self, command: Command, call: StepCall, function: Callable[..., Any]) -> Outcome:
        fed_by_failed = next((failed for need in call.needs if (failed := self._outcomes[need].failure)), None)
        if fed_by_failed is not None:
            return Outcome(failure=fed_by_failed)
        failure: Failure | None = None
        for attempt in range(1, call.retries + 2):
            place = Current(RUN_ID, self._project, command.name, f"{RUN_ID}/{command.ordinal}", attempt, attempt)
            try:
                with within(None, place, self.pin):
                    given = decode(call.arguments.codec, self.content(call.arguments), self.execution.result_of)
                    return Outcome(payload=self.keep(invoke(function, given)))
            except (KeyboardInterrupt, Closed, CodeMismatch):
                raise
            except BaseException as error:
                failure = failure_of(error, step=command.name)
        return Outcome(failure=failure)


def _json(value: object) -> Outcome:
    encoded = msgspec.json.encode(value)
    return Outcome(payload=Payload(codec="json", inline=encoded, size_bytes=len(encoded)))
