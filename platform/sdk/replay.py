"""One execution of a flow function: what it asks for is numbered, and what was recorded is played back.

Every command gets the next ordinal. As long as the record reaches, the n-th command issued must be the n-th
recorded, and its recorded outcome is the answer; after that commands are sent, and their outcomes are delivered
as they happen. The flow's thread waits here and nowhere else. An execution that was closed (stale fence, cancelled
run) raises at the wait and at every later call, so that what the function still does has no effect.

What depends on time or on order is a command too: `first` and a `result` that timed out are recorded with the
choice in their key, and a replay takes the choice from there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..artifacts.encoded import Encoded
from ..errors import HeadwaterError, InvalidInput
from ..wire.calls import Call, Command, NowCall, Outcome, Payload, Recorded, StepCall
from ..wire.types import Failure
from .failure import StepFailed
from .future import Future
from .serialise import decode, dumps


class CodeMismatch(BaseException):
    """The code did something else than what the record says it did. No `except Exception` may swallow it."""


class Closed(BaseException):
    """This execution was taken away; whatever the function does now is ignored."""


class ResultTimeout(HeadwaterError):
    """The step did not end within the time that `result(timeout=)` allowed; it goes on."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A command before it has a number. `function` is a step's, for an engine that runs it here."""

    name: str
    call: Call
    digest: str | None = None
    key: str | None = None
    function: Callable[..., Any] | None = None


class Engine(Protocol):
    """What carries out the commands of an execution."""

    def send(self, command: Command, wish: Wish) -> None:
        """Takes a new command; its outcome comes back through `Execution.deliver`, at once or later."""
        ...

    def keep(self, encoded: Encoded) -> Payload: ...
    def content(self, payload: Payload) -> memoryview: ...


class Execution:
    def __init__(self, run_id: str, engine: Engine, record: Sequence[Recorded] = ()) -> None:
        self.run_id, self._engine = run_id, engine
        self._record = tuple(one.command for one in record)
        self._outcomes = {one.command.ordinal: one.outcome for one in record if one.outcome is not None}
        self._issued: list[Command] = []
        self._names: Counter[str] = Counter()
        self._asked: set[int] = set()
        self._changed = threading.Condition()
        self._closed = ""
        self._mismatch: CodeMismatch | None = None

    # What user code asks, in the flow's thread.

    def issue(self, wish: Wish) -> int:
        """The ordinal of the command, which is recorded already or now sent."""
        self._check()
        ordinal = len(self._issued)
        self._names[wish.name] += 1
        key = wish.key or f"{wish.name}#{self._names[wish.name]}"
        command = Command(ordinal=ordinal, name=wish.name, key=key, call=wish.call, digest=wish.digest)
        if ordinal < len(self._record):
            self._compare(self._record[ordinal], command)
        self._issued.append(command)
        if ordinal >= len(self._record):
            self._engine.send(command, wish)
        return ordinal

    def call(self, wish: Wish) -> Future[Any]:
        ordinal = self.issue(wish)
        return Future(self, ordinal, self._issued[ordinal].key)

    def keep(self, encoded: Encoded) -> Payload:
        self._check()
        return self._engine.keep(encoded)

    def result(self, ordinal: int, limit_s: float | None = None) -> Any:
        """The value that command `ordinal` gave, a fresh copy at each call."""
        self._ask(ordinal)
        if limit_s is not None:
            self._wait_within(ordinal, limit_s)
        outcome = self.wait(ordinal)
        if outcome.failure is not None:
            raise StepFailed(outcome.failure)
        return None if outcome.payload is None else self._value(outcome.payload)

    def result_of(self, ordinal: int) -> Any:
        """What `ordinal` gave, for a step that it feeds: not the flow asks, so its failure stays unasked."""
        payload = self._await([ordinal], None)[1].payload
        return None if payload is None else self._value(payload)

    def wait(self, ordinal: int) -> Outcome:
        self._ask(ordinal)
        return self._await([ordinal], None)[1]

    def first(self, ordinals: list[int]) -> int:
        self._check()
        chosen = self._recorded_choice("first")
        if chosen is None:
            chosen, _ = self._await(ordinals, None)
        self._choose("first", chosen if chosen in ordinals else ordinals[0])
        return chosen

    def settle(self) -> None:
        """Waits for all that was started. Raises StepFailed for a failure that nobody asked about."""
        if len(self._issued) < len(self._record):
            self._compare(self._record[len(self._issued)], None)
        for command in self._issued:
            outcome = self._await([command.ordinal], None)[1]
            if outcome.failure is not None and command.ordinal not in self._asked:
                raise StepFailed(outcome.failure)

    def resolved(self, value: object) -> object:
        """`value` with the result in the place of every future inside."""
        if isinstance(value, Future):
            return value.result()
        dumped = dumps(value, place="the flow's result", execution=self)
        return decode(dumped.codec, memoryview(bytearray(dumped.content)), self.result) if dumped.needs else value

    @property
    def mismatch(self) -> CodeMismatch | None:
        return self._mismatch

    @property
    def closed(self) -> str:
        """Why this execution was taken away; empty while it is not."""
        return self._closed

    # What the platform says, from any thread.

    def deliver(self, ordinal: int, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes.setdefault(ordinal, outcome)
            self._changed.notify_all()

    def close(self, reason: str) -> None:
        with self._changed:
            self._closed = self._closed or reason or "closed"
            self._changed.notify_all()

    # Below: how it is done.

    def _value(self, payload: Payload) -> Any:
        return decode(payload.codec, self._engine.content(payload))

    def _check(self) -> None:
        if self._closed:
            raise Closed(self._closed)
        if self._mismatch is not None:
            raise self._mismatch

    def _await(self, ordinals: list[int], limit_s: float | None) -> tuple[int, Outcome]:
        deadline = None if limit_s is None else time.monotonic() + limit_s
        with self._changed:
            while True:
                self._check()
                for ordinal in ordinals:
                    if (outcome := self._outcomes.get(ordinal)) is not None:
                        return ordinal, outcome
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    raise TimeoutError
                self._changed.wait(left_s)

    def _wait_within(self, ordinal: int, limit_s: float) -> None:
        if self._recorded_choice("result_timeout") != ordinal:
            try:
                self._await([ordinal], limit_s)
                return
            except TimeoutError:
                pass
        self._choose("result_timeout", ordinal)
        what = f"{self._issued[ordinal].key} did not end within {limit_s:g} s"
        raise ResultTimeout(what, remedy="It goes on: ask again, or let the run wait for it")

    def _recorded_choice(self, name: str) -> int | None:
        place = len(self._issued)
        if place >= len(self._record) or self._record[place].name != name:
            return None
        return int(self._record[place].key.rpartition(":")[2])

    def _choose(self, name: str, ordinal: int) -> None:
        key = f"{name}#{self._names[name] + 1}:{ordinal}"
        self.issue(Wish(name, NowCall(), key=key))

    def _ask(self, ordinal: int) -> None:
        self._check()
        waiting = [ordinal]
        while waiting:  # whoever asks for a step that was fed by a failed one has asked for that failure too
            one = waiting.pop()
            if one not in self._asked:
                self._asked.add(one)
                call = self._issued[one].call
                waiting.extend(call.needs if isinstance(call, StepCall) else ())

    def _compare(self, recorded: Command, issued: Command | None) -> None:
        if issued is not None and _same(recorded, issued):
            return
        now = _shown(issued) if issued is not None else "the end of the function"
        self._mismatch = CodeMismatch(
            f"command {recorded.ordinal} of the record is {_shown(recorded)}, and the code now came to {now}. "
            "A flow function must do the same again: move what depends on time, chance or the outside into steps, "
            "or use now(), random() and uuid() of headwater.sdk"
        )
        raise self._mismatch


def mismatch_failure(mismatch: CodeMismatch) -> Failure:
    return Failure(kind="code_mismatch", message=str(mismatch))


def current_execution(what: str) -> Execution:
    """The execution of this flow. Raises InvalidInput outside a flow, naming `what` needs one."""
    from .context import execution

    running = execution.get()
    if running is None:
        raise InvalidInput(f"{what} was called outside a flow function", remedy="Call it in a function with @flow")
    return running


def _same(recorded: Command, issued: Command) -> bool:
    if (recorded.kind, recorded.name, recorded.key) != (issued.kind, issued.name, issued.key):
        return False
    return None in (recorded.digest, issued.digest) or recorded.digest == issued.digest


def _shown(command: Command) -> str:
    digest = f" with input {command.digest[:12]}" if command.digest else ""
    return f"{command.kind} {command.key}{digest}"
