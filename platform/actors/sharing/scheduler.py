"""The Scheduler's shell: proposals to the Conductor, and why steps wait.

Holds are kept back for a moment, because most steps that wait behind another are granted before anyone
could read why they wait. A word that did not reach the Conductor is said again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import ray

from ...core.records.inbox import Offset
from ...core.storage import total_of
from ...errors import Unavailable
from ...quota.scenario import parse_scenario
from ...quota.simulate import play
from ...store.reader import Picture
from ...wire import topics
from ...wire.calls import Grant, Hold, Order, Reclaim, Verdict
from ...wire.types import Entry
from ..courtesy import FIRST, collect_rarely, without_collecting
from ..devices import ray_nodes
from ..hub import SCHEDULER_TYPES
from ..loop import wall_clock_us
from ..owner import OwnerActor
from .quota_desk import (
    APPLY,
    OWNER,
    Answered,
    Followed,
    Propose,
    ProposeReclaims,
    QuotaDesk,
    ReclaimsAnswered,
    SayHeld,
    Seeded,
    Ticked,
    TickLater,
)
from .quota_picture import load_desk

TICK_S: Final = 0.5
HOLD_AFTER_S: Final = 0.1
AGAIN_S: Final = 1.0


class SchedulerActor(OwnerActor):
    niceness = FIRST
    owner = OWNER
    command_topic = topics.QUOTA_COMMANDS.name
    machine: QuotaDesk

    def load(self, picture: Picture, offsets: list[Offset]) -> QuotaDesk:
        self._holds: dict[str, Hold] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._one_by_one = False
        with without_collecting():
            desk = load_desk(picture, self.wiring.settings.quota_seed(), ray_nodes.alive())
        collect_rarely()
        desk.mail.load(offsets)
        self._seeds = desk.unseeded
        return desk

    async def started(self) -> None:
        if self._seeds:
            self.loop.tell(Seeded())
        self.loop.tell(Ticked())

    def heard(self, entries: list[Entry], upto: int) -> None:
        wanted = tuple(entry for entry in entries if entry.type in SCHEDULER_TYPES)
        if wanted:  # what cannot be followed ends the process: the rows have it too
            self.must(self.loop.ask(Followed(wanted)))

    def carry_out(self, effect: Any) -> None:
        match effect:
            case Propose(number, grants):
                self._propose(number, grants)
            case ProposeReclaims(reclaims):
                self.spawn(self._reclaim(reclaims))
            case SayHeld(holds):
                self._hold(holds)
            case TickLater(at_us):
                self._tick_later(at_us)

    # Proposals.

    def _propose(self, number: int, grants: tuple[Grant, ...]) -> None:
        """In one call, unless the last was refused: a guard that objects to one grant refuses its whole call."""
        epoch = self.journal.writer.epoch
        named = [msgspec.structs.replace(grant, scheduler_epoch=epoch) for grant in grants]
        for grant in grants:
            self._holds.pop(grant.step_id, None)
        parts = [[grant] for grant in named] if self._one_by_one else [named]
        self.spawn(self._ask(number, parts))

    async def _ask(self, number: int, parts: list[list[Grant]]) -> None:
        verdicts: list[Verdict] = []
        try:
            conductor = self.lines.line("conductor")
            for answer in await asyncio.gather(*[conductor.call("propose", part) for part in parts]):
                verdicts += answer
        except Unavailable:
            pass  # what was not answered is decided again
        self._one_by_one = any(verdict.reason for verdict in verdicts)
        self.loop.tell(Answered(number, tuple(verdicts)))

    async def _reclaim(self, reclaims: tuple[Reclaim, ...]) -> None:
        """Asked until it is answered: nobody else is ended meanwhile for the same step."""
        epoch = self.journal.writer.epoch
        named = [msgspec.structs.replace(reclaim, scheduler_epoch=epoch) for reclaim in reclaims]
        while True:
            try:
                verdicts: list[Verdict] = await self.lines.line("conductor").call("reclaim", named)
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
                continue
            self.loop.tell(ReclaimsAnswered(tuple(verdicts)))
            return

    def _tick_later(self, at_us: int) -> None:
        """One timer, for the soonest that was asked for."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(TICK_S, (at_us - wall_clock_us()) / 1e6)
        if self._timer is not None and self._timer.when() <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.loop.tell(Ticked())

    # Reasons.

    def _hold(self, holds: tuple[Hold, ...]) -> None:
        if not self._holds:
            self.spawn(self._say_holds())
        self._holds.update({hold.step_id: hold for hold in holds})

    async def _say_holds(self) -> None:
        await asyncio.sleep(HOLD_AFTER_S)
        while self._holds:
            holds = list(self._holds.values())
            try:
                await self.lines.line("conductor").call("hold", holds)
            except Unavailable:
                await asyncio.sleep(AGAIN_S)
                continue
            for hold in holds:
                if self._holds.get(hold.step_id) is hold:
                    del self._holds[hold.step_id]

    # What others ask.

    async def look_up(self, order: Order) -> None:
        """Of a tree it is also said who stores more than it allows."""
        if order.kind == APPLY:
            self.machine.stored = await asyncio.to_thread(self._stored)

    def _stored(self) -> dict[str, int]:
        with self.reader.picture() as picture:
            return {use.project: total_of(use) for use in picture.rows("storage_use")}

    @ray.method
    async def usage(self) -> list[dict[str, Any]]:
        """Each node of the quota tree, parents first: used, borrowed, lent and waited for, in base units."""
        rows: list[dict[str, Any]] = msgspec.to_builtins(self.machine.engine.usage())
        return rows

    @ray.method
    async def explain(self, step_id: str) -> dict[str, Any]:
        """Everything about why the step waits; empty where it does not."""
        found = self.machine.explained(step_id)
        return {} if found is None else msgspec.to_builtins(found)

    @ray.method
    async def simulate(self, scenario: dict[str, Any]) -> dict[str, Any]:
        """What the scenario would lead to, from the live picture, which stays as it is."""
        now_us = wall_clock_us()
        outcome = play(self.machine.engine, parse_scenario(scenario, now_us), now_us)
        said: dict[str, Any] = msgspec.to_builtins(outcome)
        return said
