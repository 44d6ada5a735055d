"""Workloads admitted per second, by the pure engine: 1,000 queues, 50,000 workloads.

Taken from Kueue's large generator (test/performance/scheduler): cohorts of queues of 20 CPUs each that may borrow
100; per queue 35 workloads of 1 CPU with priority 50, 10 of 5 CPUs with 100, 5 of 20 CPUs with 200. Here 100
cohorts of ten queues. A workload ends as soon as there is no other left to admit; nobody is ended for another.
Nothing is written: the value is for decisions in memory, and Kueue's published 42/s is for objects in etcd, so the
two are not the same thing.
"""

from __future__ import annotations

import argparse
import time

from cluster import Play
from lab import verdict
from speed import loop_s

from headwater.quota.messages import AttemptReleased, Demand, NodeSpec, StepWaiting
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

GOAL_PER_S, LOOP_S, KUEUE_PER_S = 2000, 0.6, 42
CLASSES = ((35, 1, 50), (10, 5, 100), (5, 20, 200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cohorts", type=int, default=100)
    chosen = parser.parse_args()
    quota = {"cpu": {"nominal": 20, "borrow_limit": 100}}
    cohorts = {f"c{c}": {"projects": {f"q{c}-{q}": quota for q in range(10)}} for c in range(chosen.cohorts)}
    nodes = [NodeSpec(f"n{n}", 200_000, 1 << 40) for n in range(chosen.cohorts)]
    play = Play(Scheduler.load(parse_tree({"cohort": cohorts}), 1, nodes=nodes))
    play.scheduler.ends_others(False)
    floor, began = loop_s(), time.perf_counter()
    total = admitted = 0
    for count, cpus, priority in CLASSES:
        for n in range(count * chosen.cohorts * 10):
            queue = n % (chosen.cohorts * 10)
            name = f"q{queue // 10}-{queue % 10}"
            play.feed(StepWaiting(f"{name}/{cpus}/{n}", "r", name, "w", Demand(0, None, cpus * 1000), total, priority))
            total += 1
    admitted += play.accept()
    while play.running:
        fence, _ = play.running.popleft()
        play.feed(AttemptReleased(fence))
        admitted += play.accept()
    spent = time.perf_counter() - began
    value, goal = admitted / spent, GOAL_PER_S * LOOP_S / min(floor, loop_s())
    print(f"{admitted:,} of {total:,} admitted in {spent:.1f} s; Kueue publishes {KUEUE_PER_S}/s, written to etcd")
    verdict("admission", value=value, unit="workloads/s", floor=KUEUE_PER_S, goal=round(goal), holds=value >= goal)


if __name__ == "__main__":
    main()
