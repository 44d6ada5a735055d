"""The actor that runs flow functions: one code version, a thread for each run, no waiting on any database.

A run comes with its record and is played back to where it stood. Its fence says which host it belongs to: an order
with a newer fence takes the place of the execution that is here, one with an older fence is stale and dropped.
Ray keeps no order between calls: an answer or a close that comes before its run is kept for it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from ...errors import Conflict
from ...wire.calls import Answer, RunOrder
from ..courtesy import settle_in
from ..lines.switchboard import Address, Switchboard
from . import memory_peak
from .conductor_door import ConductorDoor, LineDoor
from .ground import ROOMY, Ground, Limits
from .hosted_run import PATIENT, HostedRun, Patience
from .loaded_code import Code
from .output import ThreadOutput

RUNS_MAX: Final = 1_000
KEPT_MAX: Final = 1_000


class FlowHost:
    """`home` is the platform's home folder on this node; without a door the Conductor is found by its name."""

    def __init__(
        self,
        name: str,
        home: Path | str,
        door: ConductorDoor | None = None,
        limits: Limits = ROOMY,
        patience: Patience = PATIENT,
    ) -> None:
        settle_in()
        self._name, self._patience = name, patience
        self._looking: asyncio.Task[None] | None = None
        self._ground = Ground(Path(home), Code(Path(home)), limits)
        self._switchboard = Switchboard(self, self._ground.secret)
        self._door = door or LineDoor(self._ground.secret)
        self._output = ThreadOutput(limits.log_max_bytes)
        self._runs: dict[str, HostedRun] = {}
        self._early: OrderedDict[tuple[str, int], list[Answer]] = OrderedDict()
        self._closed: OrderedDict[str, int] = OrderedDict()
        self._last = ("", 0)

    async def ready(self) -> str:
        """This host's id, once it can take orders."""
        return self._name

    async def execute(self, order: RunOrder) -> None:
        """Starts the run and returns at once; a repeated or stale order changes nothing."""
        self._heard("execute")
        known = self._runs.get(order.run_id)
        stale = max(known.order.fence if known is not None else 0, self._closed.get(order.run_id, 0))
        if order.fence <= stale:
            return
        if known is not None:
            known.close("another host has this run")
        if len(self._runs) >= RUNS_MAX:
            raise Conflict(f"{self._name} has {RUNS_MAX} runs already", remedy="Give the run to another host")
        run = HostedRun(order, self._ground, self._door, self._output)
        self._runs[order.run_id] = run
        for answer in self._early.pop((order.run_id, order.fence), ()):
            run.deliver(answer)
        run.start(self._ended)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look_after())

    async def deliver(self, answers: list[Answer]) -> None:
        self._heard("deliver")
        for answer in answers:
            run = self._runs.get(answer.run_id)
            if run is not None and run.order.fence == answer.fence:
                run.deliver(answer)
            elif run is None or run.order.fence < answer.fence:
                self._early.setdefault((answer.run_id, answer.fence), []).append(answer)
        _bound(self._early)

    async def close(self, run_id: str, fence: int, reason: str) -> None:
        """The execution under this fence, or an older one, has no effect from now on."""
        self._heard("close")
        self._closed[run_id] = max(fence, self._closed.pop(run_id, 0))
        _bound(self._closed)
        run = self._runs.get(run_id)
        if run is not None and run.order.fence <= fence:
            run.close(reason)

    async def line(self) -> Address:
        """Where the Conductor speaks to this process."""
        return await self._switchboard.address()

    async def watch(self) -> None:
        """Never returns: that the call fails says that this process has died."""
        await asyncio.Event().wait()

    async def describe(self) -> dict[str, Any]:
        event, event_us = self._last
        return {
            "name": f"host:{self._name}",
            "pid": os.getpid(),
            "mailbox": len(self._runs),
            "last_event": event,
            "last_event_us": event_us,
            "restarts": 0,
            "memory_bytes": memory_peak.resident_bytes(),
        }

    async def _look_after(self) -> None:
        """Lets go of runs that only wait, and ends those that do nothing the platform can see."""
        while True:
            await asyncio.sleep(self._patience.look_every_s)
            for run in list(self._runs.values()):
                run.look_after(self._patience)

    def _ended(self, run: HostedRun) -> None:
        if self._runs.get(run.order.run_id) is run:
            del self._runs[run.order.run_id]

    def _heard(self, event: str) -> None:
        self._last = (event, time.time_ns() // 1000)


def _bound(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > KEPT_MAX:
        kept.popitem(last=False)
