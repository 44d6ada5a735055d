"""A large platform for the quota benchmarks: 50,000 GPUs in nodes of eight, 4,000 projects in 40 cohorts.

Each cohort holds ten teams of ten projects, each guaranteed 12 GPUs of its kind (48,000 in all; a cohort's rest
is shared by its projects). Steps ask for 1, 2, 4 and 8 GPUs as 8 : 4 : 2 : 1, in three priorities, with runtimes
of one and four hours and none declared. Half of the projects run more than they are guaranteed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from headwater.quota.messages import (
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    DeviceSpec,
    Effect,
    Event,
    Grant,
    NodeSpec,
    StepGone,
    StepWaiting,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import Tree, parse_tree

COHORTS, TEAMS, PROJECTS = 40, 10, 10
SIZES = (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 8)
RUNTIMES = (3600, 14_400, None)
SECOND_US = 1_000_000


def a_tree(nodes: int) -> Tree:
    return parse_tree(written(nodes))


def written(nodes: int) -> dict[str, Any]:
    """The tree as a configuration has it."""
    each = {"gpu": {"nominal": 12, "borrow_limit": 24}}
    teams = {
        f"c{c}": {f"c{c}t{t}": {"projects": {f"p{c}-{t}-{p}": each for p in range(PROJECTS)}} for t in range(TEAMS)}
        for c in range(COHORTS)
    }
    share = max(12 * TEAMS * PROJECTS, nodes * 8 // COHORTS)
    return {"cohort": {name: {"gpu": share, "teams": mine} for name, mine in teams.items()}}


def peaceful(nodes: int) -> Tree:
    """The same, where nobody is ended for another."""
    return parse_tree({**written(nodes), "policy": {"evictions_per_hour": 0}})


def some_nodes(count: int) -> list[NodeSpec]:
    return [
        NodeSpec(f"n{n}", 128_000, 1 << 40, "H100", tuple(DeviceSpec(f"n{n}/{gpu}") for gpu in range(8)))
        for n in range(count)
    ]


def names() -> list[str]:
    return [f"p{c}-{t}-{p}" for c in range(COHORTS) for t in range(TEAMS) for p in range(PROJECTS)]


def some_steps(prefix: str, count: int, projects: list[str]) -> Iterator[StepWaiting]:
    """Steps of these projects in turn."""
    for n in range(count):
        gpus = SIZES[n * 7 % len(SIZES)]
        yield StepWaiting(
            f"{prefix}{n}",
            f"r{n}",
            projects[n % len(projects)],
            "fit",
            Demand(gpus * 1000, None, gpus * 4000),
            n,
            n // 11 % 3,
            RUNTIMES[n // 5 % 3],
        )


class Play:
    """Feeds a Scheduler, each event behind its own mark as the shell does, and keeps how long each took."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.took: dict[str, list[float]] = {}
        self.granted: deque[Grant] = deque()
        self.running: deque[tuple[int, tuple[str, ...]]] = deque()
        self.now_us = SECOND_US
        self._demands: dict[str, StepWaiting] = {}
        self._fence = 0

    def feed(self, event: Event) -> list[Effect]:
        self.now_us += 1000
        if isinstance(event, StepWaiting):
            self._demands[event.step_id] = event
        began = time.process_time()
        self.scheduler.mark()
        effects = self.scheduler.decide(event, self.now_us)
        self.took.setdefault(type(event).__name__, []).append(time.process_time() - began)
        self.granted.extend(effect for effect in effects if isinstance(effect, Grant))
        return effects

    def expect(self, steps: list[StepWaiting], *, fence: int) -> None:
        """These wait already; fences up to this one are taken."""
        self._demands.update({step.step_id: step for step in steps})
        self._fence = fence

    def accept(self) -> int:
        """Leases what was granted. How many."""
        count = 0
        while self.granted:
            grant = self.granted.popleft()
            step = self._demands.pop(grant.step_id)
            self._fence += 1
            count += 1
            self.feed(
                AttemptLeased(
                    grant.step_id, self._fence, grant.node, grant.devices, step.demand, grant.nodes, self.now_us
                )
            )
            self.running.append((self._fence, tuple(device for devices in grant.devices for device in devices)))
        return count

    def send_away(self) -> None:
        """Nothing waits any more."""
        for step_id in list(self._demands):
            del self._demands[step_id]
            self.feed(StepGone(step_id))

    def end_one(self) -> None:
        fence, devices = self.running.popleft()
        self.feed(AttemptReleased(fence))
        if devices:
            self.feed(DeviceFreed(devices, fence))


def filled(nodes: int, waiting: int, say: Callable[[str], None] = print) -> Play:
    """A platform whose GPUs are all taken, with so many steps waiting behind them. Nobody is ended for another."""
    play = Play(Scheduler.load(peaceful(nodes), 1, nodes=some_nodes(nodes)))
    began = time.process_time()
    for step in some_steps("b", nodes * 8, names()[::2]):  # every second fills the platform, beyond its guarantee
        play.feed(step)
        play.accept()
    for step in some_steps("w", waiting, names()):
        play.feed(step)
        play.accept()
    say(f"{len(play.running):,} gangs run and {waiting:,} more came, in {time.process_time() - began:.1f} s")
    play.took.clear()
    return play


def crowded(nodes: int, waiting: int) -> Play:
    """The same picture as after a restart, at once: every GPU held by gangs of half the projects, behind them steps of
    the other half, which are guaranteed what those have borrowed. Nobody is ended for another.
    """
    fleet, borrowers, owners = some_nodes(nodes), names()[::2], names()[1::2]
    leases, left = [], [(spec.id, device.id) for spec in fleet for device in spec.devices]
    while left:
        n = len(leases)
        size = min(SIZES[n * 7 % len(SIZES)], 1 + (len(left) - 1) % 8)  # what the node still has
        node, devices = left[-1][0], tuple(device for _, device in left[-size:])
        del left[-size:]
        leases.append(
            AttemptLeased(
                f"b{n}", n + 1, node, (devices,), Demand(size * 1000, None, size * 4000), (), SECOND_US + n,
                borrowers[n % len(borrowers)], f"r{n}", "fit", RUNTIMES[n // 5 % 3],
            )
        )  # fmt: skip
    steps = list(some_steps("w", waiting, owners))
    play = Play(Scheduler.load(peaceful(nodes), 1, nodes=fleet, history=leases, waiting=steps))
    play.expect(steps, fence=len(leases))
    return play


def p99_ms(took: list[float]) -> float:
    return sorted(took)[min(len(took) - 1, len(took) * 99 // 100)] * 1e3
