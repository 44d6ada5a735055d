"""The actor that runs step code: warm, one code version, one attempt at a time, each fence at most once.

    orders ──► job per fence ──► (claim, for `once`; join, in a gang) ──► user thread ──► report
                 ▲                                          │
        a repeated dispatch joins it,               the loop stays free: timeouts,
        or gets the kept report                     cancels, progress

Several orders of one call are short work, done one after the other. Their reports leave together, at the latest after
50 ms; and where one of them alone takes as long as that, those that have not begun are given back.

User code runs in a thread of its own. To stop it, an exception is raised there; where that is not heard within the
grace, the attempt is reported as stopped and this process ends, because a thread cannot be killed.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ... import crash
from ...errors import Unavailable
from ...wire.calls import AttemptOrder, Outcome, Progress, Report
from ...wire.terms import Failure
from ..courtesy import settle_in
from ..lines.switchboard import Address, Switchboard
from . import memory_peak
from .attempt import Attempt, stop_message
from .conductor_door import ConductorDoor, LineDoor, until_answered
from .device_view import has_children, real_devices
from .gathering import Gathering
from .ground import ROOMY, Ground, Limits
from .latch import Latch
from .loaded_code import Code
from .output import ProcessOutput
from .progress_feed import ProgressFeed
from .stoppable import UserThread
from .surroundings import Pins

REPORTS_MAX: Final = 1_024
CLAIM_WITHIN_S: Final = 10.0
STOP_GRACE_S: Final = 10.0
SAY_RUNNING_AFTER_S: Final = 0.3
LEAVE_AFTER_S: Final = 0.5
LINGER_S: Final = 20.0
TOGETHER_S: Final = 0.05
LOOK_AT_MEMORY_S: Final = 0.25
KILL_AFTER_S: Final = 2.0  # after the grace of an attempt that makes way


class Worker:
    """`home` is the platform's home folder on this node; without a door the Conductor is found by its name."""

    def __init__(
        self,
        name: str,
        home: Path | str,
        door: ConductorDoor | None = None,
        limits: Limits = ROOMY,
        env: tuple[str, ...] = (),
    ) -> None:
        settle_in()
        self._name, self._env = name, env
        self._incarnation = str(uuid.uuid4())
        self._ground = Ground(Path(home), Code(Path(home)), limits)
        self._switchboard = Switchboard(self, self._ground.secret)
        self._door = door or LineDoor(self._ground.secret)
        self._thread = UserThread()
        self._output = ProcessOutput(limits.log_max_bytes, self._ground.spare_log_of(name))
        self._jobs: OrderedDict[int, asyncio.Future[Report]] = OrderedDict()
        self._queue: deque[_Queued] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._running: dict[int, _Job] = {}
        self._ready: dict[int, Latch] = {}  # of what is not leased yet
        self._called_off: OrderedDict[int, str] = OrderedDict()  # fence → cancelled or preempted, before it came
        self._gathering: dict[int, Gathering] = {}  # gangs that this process is a rank of, and that have not begun
        self._telling: set[asyncio.Task[None]] = set()
        self._last = ("", 0)

    async def hello(self) -> str:
        """The id of this incarnation: a new process has a new one."""
        return self._incarnation

    async def run(self, orders: list[AttemptOrder]) -> list[Report]:
        """The reports, in the order of the orders: of all, or of those that have ended while others take longer. Who
        asks again for the rest is given them."""
        return await self._done(orders)

    async def prepare(self, orders: list[AttemptOrder]) -> list[Report]:
        """Like `run`, of what is not leased yet: user code begins once `leased` was said. Any other order drops it."""
        return await self._done(orders, Latch)

    async def leased(self, fences: list[int]) -> None:
        for fence in fences:
            if (latch := self._ready.pop(fence, None)) is not None:
                latch.open()
                if (job := self._running.get(fence)) is not None:
                    job.begin()

    async def _done(self, orders: list[AttemptOrder], latch: Callable[[], Latch] | None = None) -> list[Report]:
        self._last = ("run", _now_us())
        self._drop_ready()
        call = object()
        jobs = [self._job(order, call, latch) for order in orders]
        if self._serving is None or self._serving.done():
            self._serving = asyncio.get_running_loop().create_task(self._serve())
        done, _ = await asyncio.wait(jobs, timeout=TOGETHER_S if len(jobs) > 1 else None)
        if not done:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        return [job.result() for job in jobs if job.done()]

    async def cancel(self, fence: int, grace_s: float = STOP_GRACE_S) -> None:
        """Asks the attempt to stop, and after the grace ends this process with it.

        Ray may hand over a cancel before the dispatch that was sent first: an unknown fence is remembered.
        """
        self._last = ("cancel", _now_us())
        if (job := self._running.get(fence)) is not None:
            job.stop("cancelled", grace_s)
        else:
            self._call_off(fence, "cancelled")

    async def preempt(self, fence: int, grace_s: float) -> None:
        """Tells the attempt to save its work, and stops it after the grace. One that has not begun begins no more."""
        self._last = ("preempt", _now_us())
        if (job := self._running.get(fence)) is not None:
            job.make_way(grace_s)
        else:
            self._call_off(fence, "preempted")

    def _call_off(self, fence: int, kind: str) -> None:
        if (gathering := self._gathering.get(fence)) is not None:
            gathering.call_off(kind)
        elif fence not in self._jobs or not self._jobs[fence].done():
            self._called_off[fence] = kind
            while len(self._called_off) > REPORTS_MAX:
                self._called_off.popitem(last=False)

    async def begin(self, fence: int, address: str) -> None:
        """All ranks of the gang have joined; rank 0 is at `address`."""
        self._last = ("begin", _now_us())
        if (gathering := self._gathering.get(fence)) is not None:
            gathering.begin(address)

    async def line(self) -> Address:
        """Where the Conductor speaks to this process."""
        return await self._switchboard.address()

    async def watch(self) -> None:
        """Never returns: that the call fails says that this process has died."""
        await asyncio.Event().wait()

    async def describe(self) -> dict[str, Any]:
        event, event_us = self._last
        return {
            "code_version": self._ground.code.version,
            "env": list(self._env),
            "name": f"worker:{self._name}",
            "pid": os.getpid(),
            "mailbox": sum(not job.done() for job in self._jobs.values()),
            "last_event": event,
            "last_event_us": event_us,
            "restarts": 0,
            "memory_bytes": memory_peak.resident_bytes(),
        }

    def _drop_ready(self) -> None:
        for fence, latch in self._ready.items():
            latch.drop()
            self._jobs.pop(fence, None)
        self._ready.clear()

    def _job(
        self, order: AttemptOrder, call: object, latch: Callable[[], Latch] | None = None
    ) -> asyncio.Future[Report]:
        if (known := self._jobs.get(order.fence)) is not None:
            return known
        job: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._jobs[order.fence] = job
        self._queue.append(queued := _Queued(order, call, job, latch() if latch else None))
        if queued.latch is not None:
            self._ready[order.fence] = queued.latch
        while len(self._jobs) > REPORTS_MAX and next(iter(self._jobs.values())).done():
            self._jobs.popitem(last=False)
        return job

    async def _serve(self) -> None:
        while self._queue:
            queued = self._queue.popleft()
            try:
                queued.job.set_result(await self._in_turn(queued))
            except Exception as error:  # whoever asked is told
                queued.job.set_exception(error)

    async def _in_turn(self, queued: _Queued) -> Report:
        refusal = await self._refusal(queued.order)
        if refusal is not None:
            return self._report(queued.order, _now_us(), Outcome(failure=refusal))
        if queued.order.gang is not None:
            return await self._rank(queued.order)
        giving_back = None
        if self._queue:
            giving_back = asyncio.get_running_loop().call_later(TOGETHER_S, self._give_back, queued.call)
        try:
            return await self._attempt(queued.order, latch=queued.latch)
        finally:
            if giving_back is not None:
                giving_back.cancel()

    async def _rank(self, order: AttemptOrder) -> Report:
        """One rank of a gang: it begins when all are there."""
        gathering = Gathering(order, self._incarnation, self._door, self._switchboard.host)
        self._gathering[order.fence] = gathering
        try:
            refusal = await gathering.gather()
        finally:
            del self._gathering[order.fence]
        if refusal is not None:
            return self._report(order, _now_us(), Outcome(failure=refusal))
        return await self._attempt(order, master=gathering.address)

    def _give_back(self, call: object) -> None:
        """What came in the same call and has not begun will not be run here."""
        waiting, self._queue = self._queue, deque()
        for queued in waiting:
            if queued.call is call:
                queued.job.set_result(self._report(queued.order, _now_us(), Outcome(), begun=False))
            else:
                self._queue.append(queued)

    async def _refusal(self, order: AttemptOrder) -> Failure | None:
        """Why user code must not start."""
        called_off = self._called_off.pop(order.fence, "")
        if called_off:
            return Failure(kind=called_off, message=stop_message(order, called_off), step=order.name)
        if order.effect != "once" or order.gang is not None:  # a gang claims by joining
            return None
        try:
            reason = await until_answered(lambda: self._claimed(order), within_s=CLAIM_WITHIN_S)
        except Unavailable as error:
            reason = str(error)
        return Failure(kind="lost", message=f"The claim was refused: {reason}", step=order.name) if reason else None

    async def _claimed(self, order: AttemptOrder) -> str:
        try:
            async with asyncio.timeout(CLAIM_WITHIN_S):
                return await self._door.claim(order.fence, self._incarnation, order.secret)
        except TimeoutError:
            raise Unavailable(f"The Conductor did not answer within {CLAIM_WITHIN_S:g} s") from None

    async def _attempt(self, order: AttemptOrder, *, master: str = "", latch: Latch | None = None) -> Report:
        loop = asyncio.get_running_loop()
        feed = ProgressFeed(loop, order, self._incarnation, self._tell)
        pins = Pins(order.run_id, self._door, loop, self._incarnation)
        attempt = Attempt(order, self._ground, pins, feed, master=master, latch=latch)
        job = self._running[order.fence] = _Job(attempt, loop)
        if latch is None or latch.is_open:
            job.begin()
        crash.at("attempt.start")
        self._thread.give(lambda: self._perform(job))
        watching = loop.create_task(_watch_memory(job, order)) if order.memory_bytes else None
        try:
            outcome = await job.ended
        finally:
            if watching is not None:
                watching.cancel()
            del self._running[order.fence]
            for timer in job.timers:
                timer.cancel()
        if latch is not None and latch.dropped:
            return self._never_begun(order, latch)
        feed.flush()
        crash.at("attempt.effect")
        is_left = bool(order.devices) and bool(real_devices(order) or has_children())
        if is_left:  # the Conductor ends this process once it has the report
            loop.call_later(LINGER_S, os._exit, 0)
        return self._report(order, job.started_us, outcome, feed=feed, seen_empty=not (job.overdue or is_left))

    def _never_begun(self, order: AttemptOrder, latch: Latch) -> Report:
        """Of what was not leased in time: whoever orders it again has it run."""
        if self._ready.get(order.fence) is latch:
            del self._ready[order.fence], self._jobs[order.fence]
        return self._report(order, _now_us(), Outcome(), begun=False)

    def _perform(self, job: _Job) -> None:
        """In the thread of user code."""
        memory_peak.reset()
        try:
            with self._output.to(job.attempt.log):
                outcome = job.attempt.perform()
        except OSError as error:  # the log could not be opened: disk full, folder gone
            outcome = Outcome(failure=Failure(kind="engine_error", message=str(error), step=job.attempt.order.name))
        job.end_from_thread(outcome)

    def _report(
        self, order: AttemptOrder, started_us: int, outcome: Outcome, *, feed: ProgressFeed | None = None, **more: bool
    ) -> Report:
        return Report(
            fence=order.fence,
            worker=self._incarnation,
            started_us=started_us,
            ended_us=_now_us(),
            outcome=outcome,
            rows=0 if feed is None else feed.rows,
            peak_memory_bytes=memory_peak.peak_bytes(),
            **more,
        )

    def _tell(self, progress: Progress) -> None:
        task = asyncio.get_running_loop().create_task(self._told(progress))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _told(self, progress: Progress) -> None:
        try:
            await self._door.progress([progress])
        except Unavailable:
            return  # lossy by contract: the next word says more


@dataclass(frozen=True, slots=True)
class _Queued:
    """An order that has not begun, with the call that it came in."""

    order: AttemptOrder
    call: object
    job: asyncio.Future[Report]
    latch: Latch | None = None


class _Job:
    """An attempt that runs, seen from the loop."""

    def __init__(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self.attempt, self._loop = attempt, loop
        self.ended: asyncio.Future[Outcome] = loop.create_future()
        self.timers: list[asyncio.TimerHandle] = []
        self.started_us = _now_us()
        self.overdue = False

    def begin(self) -> None:
        """User code may begin: its time runs from now on."""
        self.started_us = _now_us()
        self.timers.append(self._loop.call_later(SAY_RUNNING_AFTER_S, self.attempt.feed.say_running))
        if (timeout_s := self.attempt.order.timeout_s) is not None:
            self.timers.append(self._loop.call_later(timeout_s, self.stop, "timeout", STOP_GRACE_S))

    def stop(self, kind: str, grace_s: float) -> None:
        self.attempt.gate.stop(kind)
        self.timers.append(self._loop.call_later(grace_s, self._give_up, kind))

    def make_way(self, grace_s: float) -> None:
        """The attempt is told; again where it was told already, and its time runs on."""
        if not self.attempt.preempting.is_set():
            self.attempt.preempting.set()
            self.timers.append(self._loop.call_later(grace_s, self.stop, "preempted", KILL_AFTER_S))

    def end_from_thread(self, outcome: Outcome) -> None:
        self._loop.call_soon_threadsafe(self._end, outcome)

    def _end(self, outcome: Outcome) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)

    def _give_up(self, kind: str) -> None:
        order = self.attempt.order
        self.overdue = True
        message = f"{stop_message(order, kind)} and did not stop when told: its process was ended"
        self._end(Outcome(failure=Failure(kind=kind, message=message, step=order.name)))
        self._loop.call_later(LEAVE_AFTER_S, os._exit, 1)


async def _watch_memory(job: _Job, order: AttemptOrder) -> None:
    """Stops an attempt that has taken more memory than it asked for, before the node runs out of it."""
    before = memory_peak.resident_bytes()
    while memory_peak.resident_bytes() - before <= order.memory_bytes:
        await asyncio.sleep(LOOK_AT_MEMORY_S)
    job.stop("out_of_memory", STOP_GRACE_S)


def _now_us() -> int:
    return time.time_ns() // 1000
