"""Decisions of the quota engine: admission and placement of waiting steps, without any I/O.

100 cohorts of 10 projects each, 50 steps waiting per project, on nodes of 8 GPUs. Every cohort guarantees
half of what its projects may use; the rest is borrowed. The platform is filled, then each attempt that
ends is released and its device freed (two events), which lets the next step go: each grant is accepted.
The value is steps per second, each with all its events: it came, was granted, leased, released, emptied.

The goals are set for a machine on which ten million integer additions in a Python loop take 0.6 s: 2,000
steps/s, and 0.2 ms for a step that comes to an idle platform; both are scaled by what the loop takes here,
in the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque

from speed import loop_cpu_s as loop_s

from headwater.quota.messages import (
    AttemptLeased,
    AttemptReleased,
    Demand,
    DeviceFreed,
    DeviceSpec,
    Effect,
    Event,
    Grant,
    NodeJoined,
    NodeSpec,
    StepWaiting,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import Tree, parse_tree

GOAL_PER_S, LOOP_S, ARRIVAL_MS = 2_000, 0.6, 0.2
DEMANDS = (Demand(1000, None, 4000), Demand(2000, None, 8000), Demand(0, None, 2000), Demand(500, None, 1000))


def a_tree(cohorts: int, projects: int) -> Tree:
    quota = {"gpu": {"nominal": 2, "borrow_limit": 8}, "cpu": 32}
    return parse_tree(
        {"cohort": {f"c{c}": {"projects": {f"p{c}-{p}": quota for p in range(projects)}} for c in range(cohorts)}}
    )


def a_node(number: int) -> NodeSpec:
    devices = tuple(DeviceSpec(f"n{number}/{gpu}") for gpu in range(8))
    return NodeSpec(f"n{number}", 128_000, 1 << 40, "H100", devices)


def steps(cohorts: int, projects: int, each: int) -> list[StepWaiting]:
    names = [f"p{c}-{p}" for c in range(cohorts) for p in range(projects)]
    return [
        StepWaiting(f"{name}-{n}", f"r{n}", name, "fit", DEMANDS[(n + place) % 4], n * len(names) + place, n % 3)
        for n in range(each)
        for place, name in enumerate(names)
    ]


class Play:
    """Feeds a Scheduler, each event behind its own mark as the shell does, and keeps how long each took."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.took: dict[str, list[float]] = {}
        self.granted: deque[Grant] = deque()

    def feed(self, event: Event) -> list[Effect]:
        began = time.process_time()
        self.scheduler.mark()
        effects = self.scheduler.decide(event)
        self.took.setdefault(type(event).__name__, []).append(time.process_time() - began)
        self.granted.extend(effect for effect in effects if isinstance(effect, Grant))
        return effects

    def accept(self, demands: dict[str, Demand], fences: deque[tuple[int, tuple[str, ...]]], fence: int) -> None:
        grant = self.granted.popleft()
        demand = demands[grant.step_id]
        self.feed(AttemptLeased(grant.step_id, fence, grant.node, grant.devices, demand, grant.nodes, fence))
        fences.append((fence, tuple(device for devices in grant.devices for device in devices)))

    def run(self, waiting: list[StepWaiting]) -> int:
        demands = {step.step_id: step.demand for step in waiting}
        fences: deque[tuple[int, tuple[str, ...]]] = deque()
        fence = 0
        for step in waiting:
            self.feed(step)
        while self.granted or fences:
            while self.granted:
                fence += 1
                self.accept(demands, fences, fence)
            ended, devices = fences.popleft()
            self.feed(AttemptReleased(ended))
            if devices:
                self.feed(DeviceFreed(devices, ended))
        return fence


def idle_arrival_ms(samples: int) -> float:
    """Median time to decide a step that comes to an idle platform of 100 nodes."""
    scheduler = Scheduler(a_tree(1, 10), 1)
    for number in range(100):
        scheduler.decide(NodeJoined(a_node(number)))
    took = []
    for n in range(samples):
        step = StepWaiting(f"s{n}", "r", "p0-0", "fit", DEMANDS[0], n)
        began = time.process_time()
        scheduler.mark()
        (grant,) = scheduler.decide(step)
        took.append(time.process_time() - began)
        assert isinstance(grant, Grant)
        scheduler.rollback()
    return sorted(took)[samples // 2] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cohorts", type=int, default=100)
    parser.add_argument("--projects", type=int, default=10, help="per cohort")
    parser.add_argument("--steps", type=int, default=50, help="waiting per project")
    parser.add_argument("--nodes", type=int, default=200)
    chosen = parser.parse_args()
    floor = loop_s()
    play = Play(Scheduler(a_tree(chosen.cohorts, chosen.projects), 1))
    for number in range(chosen.nodes):
        play.scheduler.decide(NodeJoined(a_node(number)))
    waiting = steps(chosen.cohorts, chosen.projects, chosen.steps)
    granted = play.run(waiting)
    assert granted == len(waiting), f"{granted} of {len(waiting)} went"
    idle = idle_arrival_ms(2000)
    show(play, waiting=len(waiting), idle_ms=idle, floor=min(floor, loop_s()))


def show(play: Play, *, waiting: int, idle_ms: float, floor: float) -> None:
    print(f"{'event':<16}{'count':>9}{'mean µs':>10}{'p99 µs':>10}{'max ms':>9}")
    for name, took in play.took.items():
        took.sort()
        mean, p99 = sum(took) / len(took), took[len(took) * 99 // 100]
        print(f"{name:<16}{len(took):>9,}{mean * 1e6:>10.1f}{p99 * 1e6:>10.1f}{took[-1] * 1e3:>9.2f}")
    count, total = sum(map(len, play.took.values())), sum(map(sum, play.took.values()))
    slowness = floor / LOOP_S
    goal, value = GOAL_PER_S / slowness, waiting / total
    print(
        f"{waiting:,} steps, {count:,} decisions in {total:.2f} s; {waiting / total:,.0f} steps/s from arrival to end"
    )
    print(
        f"idle platform: {idle_ms * 1000:.0f} µs a step (goal {ARRIVAL_MS * slowness * 1000:.0f}); loop {floor:.2f} s"
    )
    line = {
        "bench": "quota_decisions",
        "value": round(value),
        "unit": "steps/s",
        "floor": round(floor, 3),
        "ratio": round(value / goal, 2),
        "goal": round(goal),
        "holds": value >= goal and idle_ms <= ARRIVAL_MS * slowness,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
