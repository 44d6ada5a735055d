"""One run in a FlowHost: a thread that runs the flow function, and the line of what it has asked for.

Commands leave in the order of their ordinals, one call to the Conductor at a time with all that has gathered; the
end of the run leaves after the last of them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ...artifacts.encoded import Encoded
from ...artifacts.payloads import content_of, payload_of
from ...errors import InvalidInput, Unavailable
from ...sdk.context import Current
from ...sdk.failure import user_stack
from ...sdk.flow import Flow
from ...sdk.running.conduct import conclude
from ...sdk.running.interrupts import Closed, Evicted
from ...sdk.running.replay import Execution, Wish
from ...wire.calls import Answer, Command, Outcome, Payload, RunEnd, RunOrder
from ...wire.terms import Failure
from .conductor_door import ConductorDoor, until_answered
from .ground import Ground
from .output import ThreadOutput
from .stoppable import raise_in
from .surroundings import Owner, Pins, surrounded

COMMANDS_MAX: Final = 1_000  # in one call
ANSWER_WITHIN_S: Final = 300.0
STACK_BYTES: Final = 1 << 20  # address space; only what is touched takes memory

_stack_size = threading.Lock()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run may wait in memory, and how long it may do nothing that the platform can see."""

    evict_after_s: float = 5.0
    stuck_after_s: float = 600.0

    @property
    def look_every_s(self) -> float:
        return max(0.02, min(self.evict_after_s, self.stuck_after_s) / 4)


PATIENT: Final = Patience()


class HostedRun:
    """Lives on the host's loop; `send`, `keep` and `content` are called from its thread."""

    def __init__(self, order: RunOrder, ground: Ground, door: ConductorDoor, output: ThreadOutput) -> None:
        self.order = order
        self._ground, self._door, self._output = ground, door, output
        self._files = ground.files
        self._loop = asyncio.get_running_loop()
        self._execution = Execution(order.run_id, self, order.record)
        self._line: list[Command] = []
        self._end: RunEnd | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._parking: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=order.run_id, daemon=True)
        self._on_end: Callable[[HostedRun], None] = lambda run: None

    def start(self, on_end: Callable[[HostedRun], None]) -> None:
        """`on_end` is called on the loop when there is nothing more to come from this execution."""
        self._on_end = on_end
        with _stack_size:
            before = threading.stack_size(STACK_BYTES)
            try:
                self._thread.start()
            finally:
                threading.stack_size(before)

    def deliver(self, answer: Answer) -> None:
        self._execution.deliver(answer.ordinal, answer.outcome, answer.answered)

    def close(self, reason: str) -> None:
        """Its thread raises at the next wait or call; nothing of it is sent any more."""
        self._execution.close(reason)
        self._line.clear()
        self._end = None
        self._on_end(self)

    def look_after(self, patience: Patience) -> None:
        """A run that waits for long leaves memory; one that neither asks nor waits for longer has failed."""
        if self._execution.closed or self._end is not None:
            return
        now_s, waiting = time.monotonic(), self._execution.waiting
        if waiting is None:
            if now_s - self._execution.moved_s > patience.stuck_after_s:
                self._give_up(patience.stuck_after_s)
        elif now_s - waiting.since_s > patience.evict_after_s and not self._line and self._is_quiet():
            self._parking = self._loop.create_task(self._park(waiting.ordinals))

    def _is_quiet(self) -> bool:
        return all(task is None or task.done() for task in (self._leaving, self._parking))

    async def _park(self, ordinals: tuple[int, ...]) -> None:
        try:
            reason = await self._door.park(self.order.run_id, self.order.fence, list(ordinals))
        except Unavailable:
            return  # asked again while it still waits
        if not reason:
            self._execution.close("parked", Evicted)
            self._on_end(self)

    def _give_up(self, after_s: float) -> None:
        order = self.order
        frames = user_stack(self._thread.ident)
        message = f"The flow neither asked for anything nor waited for {after_s:g} s. Put long work into steps"
        failure = Failure(kind="flow_stuck", message=message, frames=frames)
        self._execution.close(message)
        if self._thread.ident is not None:
            raise_in(self._thread.ident, Closed)
        self._finish(RunEnd(run_id=order.run_id, fence=order.fence, outcome=Outcome(failure=failure)))

    # The engine of the execution: in the thread of the flow.

    def send(self, command: Command, wish: Wish) -> None:
        self._loop.call_soon_threadsafe(self._enqueue, command)

    def idle(self) -> bool:
        return False

    def keep(self, encoded: Encoded) -> Payload:
        limit = self._ground.limits.result_max_bytes
        return payload_of(self._files, encoded, limit_bytes=limit)

    def content(self, payload: Payload) -> memoryview:
        return content_of(self._files, payload)

    def _run(self) -> None:
        order = self.order
        owner, place = Owner(order.run_id, order.project, order.principal), Current(order.run_id, order.project)
        pins = Pins(order.run_id, self._door, self._loop)
        log = self._ground.log_of(order.run_id, "flow")
        with self._output.to(log), surrounded(self._ground.home, owner, pins, place, self._execution):
            ended = conclude(self._flow, order.parameters or {}, self._execution)
        if ended is not None:
            outcome, preview = ended
            end = RunEnd(run_id=order.run_id, fence=order.fence, outcome=outcome, preview=preview)
            self._loop.call_soon_threadsafe(self._finish, end)

    def _flow(self) -> Flow[Any, Any]:
        self._ground.code.bind(self.order.code_version, self.order.bundle)
        found = self._ground.code.find(self.order.function)
        if not isinstance(found, Flow):
            raise InvalidInput(f"{self.order.function} is no flow", remedy="Put @flow on the function")
        return found

    # The line: on the loop.

    def _enqueue(self, command: Command) -> None:
        self._line.append(command)
        self._leave()

    def _finish(self, end: RunEnd) -> None:
        self._end = end
        self._leave()

    def _leave(self) -> None:
        if self._leaving is None or self._leaving.done():
            self._leaving = self._loop.create_task(self._send_line())

    async def _send_line(self) -> None:
        try:
            while self._line and not self._execution.closed:
                gathered, self._line[:COMMANDS_MAX] = self._line[:COMMANDS_MAX], []
                reason = await until_answered(lambda: self._issue(gathered), within_s=ANSWER_WITHIN_S)  # noqa: B023
                if reason:
                    self.close(reason)
            if self._end is not None:
                end, self._end = self._end, None
                await until_answered(lambda: self._door.ended(end), within_s=ANSWER_WITHIN_S)
                self._on_end(self)
        except Unavailable as error:
            self.close(str(error))  # whoever takes the Conductor's place hands the run to a host again

    async def _issue(self, commands: list[Command]) -> str:
        return await self._door.issue(self.order.run_id, self.order.fence, commands)
