"""The loop of `async def` flows: deterministic, because nothing wakes it but the outcomes of the run's commands.

Outcomes are numbered in the order in which they were recorded. The loop takes them in that order, one at a time, and
runs all that became ready before it takes the next; so a replay wakes the same tasks in the same order and comes to
the same commands. Timers are durable sleeps: `asyncio.sleep`, `timeout` and `wait_for` outlive a crash. There is
nothing else: no threads, no sockets, and time stands still but for these timers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple, Unpack

from ...errors import InvalidInput
from ...wire.calls import SleepCall
from .digest import digest

if TYPE_CHECKING:
    from .replay import Execution

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class RecordedLoop(asyncio.BaseEventLoop):
    def __init__(self, execution: Execution) -> None:
        super().__init__()
        self._execution = execution
        self._selector = self  # what the base class asks for what has happened
        self._taken = 0
        self._known: set[int] = set()
        self._waiting: defaultdict[int, list[asyncio.Handle]] = defaultdict(list)

    def complete(self, main: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns. What it left running is given up."""
        try:
            return self.run_until_complete(main)
        finally:
            self.close()

    async def outcome(self, ordinal: int) -> None:
        """Returns when the outcome of that command is its turn."""
        if ordinal in self._known:
            return
        turn = self.create_future()
        self._when(ordinal, asyncio.Handle(_wake, (turn,), self))
        await turn

    # What the base class needs.

    def time(self) -> float:
        return 0.0

    def select(self, timeout: float | None) -> list[int]:
        """The next outcome, waited for where nothing else is ready."""
        if timeout == 0:
            return []
        ordinal = self._execution.answered(self._taken + 1)
        self._taken += 1
        self._known.add(ordinal)
        return [ordinal]

    def _process_events(self, ordinals: list[int]) -> None:
        for ordinal in ordinals:
            for handle in self._waiting.pop(ordinal, ()):
                self._add_callback(handle)  # type: ignore[attr-defined]

    def _write_to_self(self) -> None:
        """Nobody is to wake this loop from elsewhere."""

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """A durable sleep; the handle is that of a timer."""
        from .replay import Wish

        timer = asyncio.TimerHandle(when, callback, args, self, context)
        duration_us = max(0, round(when * 1_000_000))
        ordinal = self._execution.issue(Wish("sleep", SleepCall(duration_us=duration_us), digest=digest(when)))
        self._when(ordinal, timer)
        return timer

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> NoReturn:
        what = "An async flow has no threads and no sockets of its own"
        raise InvalidInput(what, remedy="Put the work into a step and await its future")

    def _when(self, ordinal: int, handle: asyncio.Handle) -> None:
        self._waiting[ordinal].append(handle)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
