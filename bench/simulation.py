"""Replays jobs through the real quota engine on a virtual clock: no Ray, no database, no waiting.

The simulator is the Conductor and the workers in one: it takes every grant at once, ends a job when it has run,
and ends a reclaimed one after its grace, unless it ends by itself before. That one goes back with its place in
time; a job that saves its work when it is signalled goes on from there, another has lost all of it.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from headwater.quota.messages import (
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    Effect,
    Event,
    Grant,
    Impossible,
    NodeJoined,
    NodeSpec,
    Reclaim,
    StepWaiting,
    Ticked,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import Tree

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    project: str
    demand: Demand
    at_s: int
    runtime_s: int
    priority: int = 0
    saves: bool = True


@dataclass(slots=True)
class Attempt:
    job: Job
    began_s: int
    devices: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What happened, and by team the GPU milli-seconds; `steps`: (second, team → GPU milli) at every change.
    Attempts are preempted for others, or moved so that a large job has a whole node; either may lose work.
    """

    waits: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    preempted: int = 0
    moved: int = 0
    refused: int = 0
    lost_milli_s: int = 0
    lost_moving_milli_s: int = 0
    used_milli_s: int = 0
    idle_while_waiting_milli_s: int = 0
    ended_s: int = 0
    steps: list[tuple[int, dict[str, int]]] = field(default_factory=list)


class Simulation:
    def __init__(self, tree: Tree, nodes: list[NodeSpec], jobs: list[Job]) -> None:
        self._scheduler = Scheduler(tree, 1)
        self.total_milli = sum(len(node.devices) for node in nodes) * 1000
        self.tally = Tally()
        self._now = self._fence = self._order = self._ticks = 0
        self._due: list[tuple[int, int, str, object]] = []
        self._running: dict[int, Attempt] = {}
        self._waiting: dict[str, Job] = {}
        self._left: dict[str, int] = {job.name: job.runtime_s for job in jobs}
        self._evictions: dict[str, int] = defaultdict(int)
        self._used: dict[str, int] = {}
        self._moving: set[int] = set()
        self._wanted = 0
        for node in nodes:
            self._tell(NodeJoined(node))
        for job in jobs:
            self._later(job.at_s, "came", job)

    def run(self) -> Tally:
        """Until nothing is left to happen, or what waits can never go."""
        while self._due:
            at, _, kind, what = heapq.heappop(self._due)
            self._pass(at)
            if kind == "came" and isinstance(what, Job):
                self._came(what)
            elif kind == "ends" and isinstance(what, int):
                self._ends(what)
            elif kind == "tick":
                self._tell(Ticked(at * SECOND))
            self._note()
        self.tally.ended_s = self._now
        return self.tally

    def _pass(self, at: int) -> None:
        took, self._now = at - self._now, at
        used = sum(self._used.values())
        self.tally.used_milli_s += used * took
        self.tally.idle_while_waiting_milli_s += min(self.total_milli - used, self._wanted) * took

    def _later(self, at: int, kind: str, what: object) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, kind, what))

    def _tell(self, event: Event) -> None:
        self._scheduler.mark()
        for effect in self._scheduler.decide(event, self._now * SECOND):
            self._carry_out(effect)
        wakes = self._scheduler.wakes_us()
        if wakes is not None:
            at = max(self._now + 1, -(-wakes // SECOND))
            if not self._now < self._ticks <= at:
                self._ticks = at
                self._later(at, "tick", None)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Grant():
                self._lease(effect)
            case Reclaim(fence=fence, grace_s=grace_s, reason=reason):
                if reason.startswith("Moved"):
                    self._moving.add(fence)
                self._later(self._now + grace_s, "ends", fence)
            case Impossible(step_id):
                self._wanted -= _gpus(self._waiting.pop(step_id))
                self.tally.refused += 1
            case _:
                pass

    def _came(self, job: Job) -> None:
        self._waiting[job.name] = job
        self._wanted += _gpus(job)
        evictions = self._evictions[job.name]
        since = job.at_s * SECOND
        step = StepWaiting(job.name, job.name, job.project, "job", job.demand, since, job.priority)
        self._tell(msgspec.structs.replace(step, evictions=evictions))

    def _lease(self, grant: Grant) -> None:
        job = self._waiting.pop(grant.step_id)
        self._wanted -= _gpus(job)
        self._fence += 1
        fence = self._fence
        devices = tuple(device for each in grant.devices for device in each)
        self._running[fence] = Attempt(job, self._now, devices)
        self._used[job.project] = self._used.get(job.project, 0) + _gpus(job)
        if not self._evictions[job.name]:
            self.tally.waits[job.project].append(self._now - job.at_s)
        self._later(self._now + self._left[job.name], "ends", fence)
        now = self._now * SECOND
        leased = AttemptLeased(job.name, fence, grant.node, grant.devices, job.demand, grant.nodes, now, job.project)
        self._tell(msgspec.structs.replace(leased, priority=job.priority))

    def _ends(self, fence: int) -> None:
        """The first of its end and of the end of a grace."""
        attempt = self._running.pop(fence, None)
        if attempt is None:
            return
        job, ran = attempt.job, self._now - attempt.began_s
        finished = ran >= self._left[job.name]
        self._used[job.project] -= _gpus(job)
        self._tell(AttemptReleased(fence))
        if attempt.devices:
            self._tell(DeviceFreed(tuple(dict.fromkeys(attempt.devices)), fence))
        if not finished:
            self._evicted(job, ran, is_moved=fence in self._moving)
            self._came(job)

    def _evicted(self, job: Job, ran: int, *, is_moved: bool) -> None:
        lost = 0 if job.saves else ran * _gpus(job)
        self._left[job.name] -= ran if job.saves else 0
        self._evictions[job.name] += 1
        self.tally.moved += is_moved
        self.tally.preempted += not is_moved
        self.tally.lost_moving_milli_s += lost if is_moved else 0
        self.tally.lost_milli_s += 0 if is_moved else lost

    def _note(self) -> None:
        self.tally.steps.append((self._now, dict(self._used)))


def _gpus(job: Job) -> int:
    return job.demand.gpus_milli * job.demand.ranks
