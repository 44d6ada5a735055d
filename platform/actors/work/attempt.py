"""One attempt at a step, in the thread of user code: arguments in, result or failure out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ...artifacts.payloads import content_of, payload_of
from ...errors import Conflict, InvalidInput
from ...sdk.context import Current
from ...sdk.failure import failure_of
from ...sdk.running.invoke import invoke
from ...sdk.running.serialise import decode, encode
from ...sdk.step import Step
from ...wire.calls import AttemptOrder, GangSeat, Outcome
from ...wire.terms import Failure
from . import memory_peak
from .device_view import show, view_of
from .ground import Ground
from .latch import Latch
from .progress_feed import ProgressFeed
from .secret_files import resolved
from .stoppable import Gate, Stopped
from .surroundings import Owner, Pins, surrounded


class Attempt:
    """Everything that one attempt needs. `perform` is called once, in the thread of user code."""

    def __init__(
        self,
        order: AttemptOrder,
        ground: Ground,
        pins: Pins,
        feed: ProgressFeed,
        *,
        master: str = "",
        latch: Latch | None = None,
    ) -> None:
        self._master = master  # host:port of rank 0, in a gang
        self.latch = latch
        self.order, self.feed, self.gate = order, feed, Gate()
        self._ground, self._pins, self._files = ground, pins, ground.files
        self.preempting = threading.Event()
        self._outcome: Outcome | None = None

    @property
    def log(self) -> Path:
        name, gang = f"{self.order.ordinal}.{self.order.attempt}", self.order.gang
        if gang is not None and gang.rank:
            name = f"ranks/{name}.{gang.rank}"
        return self._ground.log_of(self.order.run_id, name)

    def perform(self) -> Outcome:
        """How it ended. Raises nothing: whatever user code lets through is its failure."""
        try:
            self.gate.run(self._run)
        except Stopped as stopped:
            return self._outcome or Outcome(failure=self._stopped(stopped))
        except BaseException as error:  # SystemExit of user code too: it ends the attempt, not the worker
            failure = self._stopped(error) if self.gate.reason else failure_of(error, step=self.order.name)
            return Outcome(failure=failure)
        assert self._outcome is not None
        return self._outcome

    def _run(self) -> None:
        order = self.order
        show(view_of(order))
        self._ground.code.bind(order.code_version, order.bundle)
        owner, place = Owner(order.run_id, order.project, order.principal), self._place()
        ranked = in_environment(gang_environment(order.gang, self._master)) if order.gang else nullcontext()
        with ranked, surrounded(self._ground.home, owner, self._pins, place):
            if self.latch is not None:
                self.latch.wait()
            function = _function(self._ground.code.find(order.function), order.function)
            with _followed_streams(self.feed):
                given = decode(order.arguments.codec, content_of(self._files, order.arguments), self._input)
                encoded = invoke(function, given)
                limit = self._ground.limits.result_max_bytes
                payload = payload_of(self._files, encoded, place="The step's result", limit_bytes=limit)
        self._outcome = Outcome(payload=payload)

    def _place(self) -> Current:
        order, kept = self.order, self.order.checkpoint
        return Current(
            run_id=order.run_id,
            project=order.project,
            step=order.name,
            step_id=order.step_id,
            attempt=order.attempt,
            fence=order.fence,
            tell=self.feed.tell,
            keep=self._keep,
            restored=None if kept is None else decode(kept.codec, content_of(self._files, kept)),
            is_preempted=self.preempting.is_set,
            secrets=resolved(self._ground.home, order.project, order.secrets),
            **_gang_of(order, self._master),
        )

    def _keep(self, state: object) -> None:
        """Of a gang the checkpoint is that of rank 0; what the others give is left alone."""
        if self.order.gang is not None and self.order.gang.rank:
            return
        encoded = encode(state, place="The checkpoint")
        limit = self._ground.limits.result_max_bytes
        reason = self._pins.keep(
            self.order.fence, payload_of(self._files, encoded, place="The checkpoint", limit_bytes=limit)
        )
        if reason:
            raise Conflict(f"The checkpoint was not kept: {reason}", remedy="Another attempt goes on; end this one")
        if self.preempting.is_set():
            self.gate.stop("preempted")  # nothing is lost now

    def _input(self, ordinal: int) -> object:
        if ordinal not in self.order.inputs:
            what = f"The result of command {ordinal} did not come with the attempt"
            raise InvalidInput(what, remedy="This is a fault of the platform: please report it")
        payload = self.order.inputs[ordinal]
        return decode(payload.codec, content_of(self._files, payload))

    def _stopped(self, error: BaseException) -> Failure:
        kind = self.gate.reason or "cancelled"
        told = failure_of(error, step=self.order.name)
        return Failure(kind=kind, message=stop_message(self.order, kind), frames=told.frames, step=self.order.name)


def gang_environment(seat: GangSeat, master: str) -> dict[str, str]:
    """What torch, and whatever follows its customs, finds in the environment."""
    host, _, port = master.rpartition(":")
    return {
        "RANK": str(seat.rank),
        "WORLD_SIZE": str(seat.world),
        "LOCAL_RANK": str(seat.local_rank),
        "LOCAL_WORLD_SIZE": str(seat.local_world),
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
    }


@contextmanager
def in_environment(words: dict[str, str]) -> Iterator[None]:
    """The process's environment with these words, which are gone afterwards."""
    os.environ.update(words)
    try:
        yield
    finally:
        for name in words:
            os.environ.pop(name, None)


def _gang_of(order: AttemptOrder, master: str) -> dict[str, Any]:
    if order.gang is None:
        return {}
    host, _, port = master.rpartition(":")
    seat = order.gang
    return {
        "rank": seat.rank,
        "world_size": seat.world,
        "local_rank": seat.local_rank,
        "master": (host, int(port)),
    }


def stop_message(order: AttemptOrder, kind: str) -> str:
    if kind == "timeout":
        return f"Attempt {order.attempt} of {order.name} did not end within {order.timeout_s:g} s"
    if kind == "out_of_memory":
        most, asked = memory_peak.peak_bytes() >> 20, order.memory_bytes >> 20
        return f"Attempt {order.attempt} of {order.name} took more than the {asked} MiB it asked for (peak {most} MiB)"
    if kind == "preempted":
        return f"Attempt {order.attempt} of {order.name} made way for another step"
    return f"Attempt {order.attempt} of {order.name} was cancelled"


def _function(found: object, reference: str) -> Callable[..., Any]:
    if isinstance(found, Step):
        function: Callable[..., Any] = found.function
        return function
    raise InvalidInput(f"{reference} is no step", remedy="Put @step on the function")


def _followed_streams(feed: ProgressFeed) -> AbstractContextManager[object]:
    """Hears the streams of tables; costs nothing in code that knows no tables."""
    if "headwater.sdk.table" not in sys.modules:
        return nullcontext()
    from .stream_progress import followed

    return followed(feed.tell_rows)
