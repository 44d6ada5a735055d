"""One execution of a flow function: what it asks for is numbered, and what was recorded is played back.

Every command gets the next ordinal. As long as the record reaches, the n-th command issued must be the n-th
recorded, and its recorded outcome is the answer; after that commands are sent, and their outcomes are delivered
as they happen. The flow's thread waits here and nowhere else. An execution that was closed (stale fence, cancelled
run, a wait that took long) raises at the wait and at every later call, so that what the function still does has no
effect.

What depends on time or on order is a command too: `first` and `result(timeout=)` are answered by the platform.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...artifacts.encoded import Encoded
from ...errors import InvalidInput
from ...wire.calls import Call, Command, DeadlineCall, FirstCall, Outcome, Payload, Recorded, StepCall
from ..failure import StepFailed
from ..future import Future
from .digest import digest
from .interrupts import Closed, ResultTimeout
from .mismatch import CodeMismatch, compare
from .serialise import decode, dumps

if TYPE_CHECKING:
    from .recorded_loop import RecordedLoop

WITHOUT_EFFECT: Final = frozenset({"sleep", "wait_for", "first", "result_timeout"})


@dataclass(frozen=True, slots=True)
class Wish:
    """A command before it has a number. `function` is a step's or a flow's, for an engine that runs it here."""

    name: str
    call: Call
    digest: str | None = None
    key: str | None = None
    function: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The function waits for one of these commands, since a time of `time.monotonic`."""

    ordinals: tuple[int, ...]
    since_s: float


class Engine(Protocol):
    """What carries out the commands of an execution."""

    def send(self, command: Command, wish: Wish) -> None:
        """Takes a new command; its outcome comes back through `Execution.deliver`, at once or later."""
        ...

    def idle(self) -> bool:
        """The function waits. True where the engine has delivered something itself by then."""
        ...

    def keep(self, encoded: Encoded) -> Payload: ...
    def content(self, payload: Payload) -> memoryview: ...


class Execution:
    def __init__(self, run_id: str, engine: Engine, record: Sequence[Recorded] = ()) -> None:
        self.run_id, self._engine = run_id, engine
        self._record = tuple(one.command for one in record)
        self._outcomes = {one.command.ordinal: one.outcome for one in record if one.outcome is not None}
        self._answered = {one.answered: one.command.ordinal for one in record if one.outcome is not None}
        self._issued: list[Command] = []
        self._names: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._asked: set[int] = set()
        self._left_over: tuple[int | None, set[int]] = (None, set())
        self._changed = threading.Condition()
        self._closed: Closed | None = None
        self._mismatch: CodeMismatch | None = None
        self._waiting: Waiting | None = None
        self._moved_s = time.monotonic()
        self.loop: RecordedLoop | None = None

    # What user code asks, in the flow's thread.

    def issue(self, wish: Wish) -> int:
        """The ordinal of the command, which is recorded already or now sent."""
        self._check()
        ordinal = len(self._issued)
        command = Command(ordinal=ordinal, name=wish.name, key=self._key(wish), call=wish.call, digest=wish.digest)
        if ordinal < len(self._record):
            self._compare(self._record[ordinal], command)
        self._issued.append(command)
        self._moved_s = time.monotonic()
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
        payload = self._await([ordinal]).payload
        return None if payload is None else self._value(payload)

    def wait(self, ordinal: int) -> Outcome:
        self._ask(ordinal)
        return self._await([ordinal])

    def first(self, ordinals: list[int]) -> int:
        """Which of the commands ended first. Where what the last `first` has left over is among them, only the others
        are named."""
        again, left = self._left_over if self._left_over[1].issubset(ordinals) else (None, set())
        if again is not None and self._is_recorded_whole():
            again, left = None, set()
        new = ordinals if again is None else sorted(set(ordinals).difference(left))
        named = [self._issued[ordinal].key for ordinal in new]
        given = digest(named if again is None else [self._issued[again].key, named])
        asked = self.issue(Wish("first", FirstCall(of=tuple(new), again=again), digest=given))
        chosen = int(self.result(asked))
        left.update(new)
        left.discard(chosen)
        self._left_over = asked, left
        return chosen

    def _is_recorded_whole(self) -> bool:
        """Whether an older platform has recorded the next command with all that it chose from."""
        ordinal = len(self._issued)
        call = self._record[ordinal].call if ordinal < len(self._record) else None
        return isinstance(call, FirstCall) and call.again is None

    async def awaited(self, ordinal: int) -> Any:
        """The result, for a task of an async flow."""
        self._ask(ordinal)
        assert self.loop is not None
        await self.loop.outcome(ordinal)
        return self.result(ordinal)

    def answered(self, number: int) -> int:
        """The command whose outcome was the `number`-th of the run, once it is there."""
        with self._changed:
            while number not in self._answered:
                self._check()
                missing = [command.ordinal for command in self._issued if command.ordinal not in self._outcomes]
                if not missing and number > len(self._issued):
                    what = "The flow waits for something that no step, timer or event of it can bring"
                    raise InvalidInput(what, remedy="Await futures of steps, sleep() or wait_for()")
                self._rest(missing)
        return self._answered[number]

    def settle(self) -> None:
        """Waits for all that was started. Raises StepFailed for a failure that nobody asked about."""
        if len(self._issued) < len(self._record):
            self._compare(self._record[len(self._issued)], None)
        for command in self._issued:
            if command.kind in WITHOUT_EFFECT:
                continue
            outcome = self._await([command.ordinal])
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
        return str(self._closed or "")

    @property
    def waiting(self) -> Waiting | None:
        """What the function waits for now; None while it does something."""
        return self._waiting

    @property
    def moved_s(self) -> float:
        """When, by `time.monotonic`, the function last asked for something or stopped waiting."""
        return self._moved_s

    # What the platform says, from any thread.

    def deliver(self, ordinal: int, outcome: Outcome, answered: int = 0) -> None:
        with self._changed:
            self._outcomes.setdefault(ordinal, outcome)
            self._answered.setdefault(answered or len(self._answered) + 1, ordinal)
            self._changed.notify_all()

    def close(self, reason: str, kind: type[Closed] = Closed) -> None:
        with self._changed:
            self._closed = self._closed or kind(reason or "closed")
            self._changed.notify_all()

    # Below: how it is done.

    def _key(self, wish: Wish) -> str:
        self._names[wish.name] += 1
        key = wish.key or f"{wish.name}#{self._names[wish.name]}"
        if key in self._keys:
            what = f"The key {key!r} was used before in this run"
            raise InvalidInput(what, remedy="Give each call a key of its own, or none")
        self._keys.add(key)
        return key

    def _value(self, payload: Payload) -> Any:
        return decode(payload.codec, self._engine.content(payload))

    def _check(self) -> None:
        if self._closed is not None:
            raise type(self._closed)(str(self._closed))
        if self._mismatch is not None:
            raise self._mismatch

    def _await(self, ordinals: list[int]) -> Outcome:
        """The outcome of the first of these commands that has one."""
        with self._changed:
            while True:
                self._check()
                for ordinal in ordinals:
                    if (outcome := self._outcomes.get(ordinal)) is not None:
                        return outcome
                self._rest(ordinals)

    def _rest(self, ordinals: list[int]) -> None:
        if self._engine.idle():
            return
        self._waiting = self._waiting or Waiting(tuple(ordinals), time.monotonic())
        try:
            self._changed.wait()
        finally:
            self._moved_s = time.monotonic()
            if self._closed is not None or any(ordinal in self._outcomes for ordinal in self._waiting.ordinals):
                self._waiting = None

    def _wait_within(self, ordinal: int, limit_s: float) -> None:
        call = DeadlineCall(of=ordinal, duration_us=round(limit_s * 1_000_000))
        given = digest([self._issued[ordinal].key, limit_s])
        if self.result(self.issue(Wish("result_timeout", call, digest=given))):
            what = f"{self._issued[ordinal].key} did not end within {limit_s:g} s"
            raise ResultTimeout(what, remedy="It goes on: ask again, or let the run wait for it")

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
        self._mismatch = compare(recorded, issued)
        if self._mismatch is not None:
            raise self._mismatch


def current_execution(what: str) -> Execution:
    """The execution of this flow. Raises InvalidInput outside a flow, naming `what` needs one."""
    from ..context import execution

    running = execution.get()
    if running is None:
        raise InvalidInput(f"{what} was called outside a flow function", remedy="Call it in a function with @flow")
    return running
