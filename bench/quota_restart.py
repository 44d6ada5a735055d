"""A Scheduler made anew: 100,000 steps waiting, 50,000 GPUs leased, until its first decision is made.

Measured from what the rows say, already read: reading them is the store's. Memory is what the process grew to,
all of Python and the inputs included. The goals of 5 s (scaled by a loop of ten million additions, 0.6 s there)
and 1 GB are for the whole restart.
"""

from __future__ import annotations

import argparse
import resource
import time

from cluster import a_tree, names, some_nodes, some_steps
from lab import verdict
from speed import loop_s

from headwater.quota.messages import AttemptLeased, Demand, Event, Ticked
from headwater.quota.scheduler import Scheduler

GOAL_S, GOAL_MB, LOOP_S = 5.0, 1000, 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=6250)
    parser.add_argument("--waiting", type=int, default=100_000)
    chosen = parser.parse_args()
    floor = loop_s()
    nodes, projects, demand = some_nodes(chosen.nodes), names(), Demand(1000, None, 4000)
    leased: list[Event] = [
        AttemptLeased(f"l{n}", n + 1, node.id, ((device.id,),), demand, (node.id,), n + 1, projects[n % len(projects)])
        for n, (node, device) in enumerate((node, device) for node in nodes for device in node.devices)
    ]
    waiting = list(some_steps("w", chosen.waiting, projects))
    began = time.perf_counter()
    scheduler = Scheduler.load(a_tree(chosen.nodes), 1, nodes=nodes, history=leased, waiting=waiting)
    scheduler.mark()
    scheduler.decide(Ticked(1), 1)
    value = time.perf_counter() - began
    grown_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    goal = GOAL_S * min(floor, loop_s()) / LOOP_S
    print(f"{len(leased):,} leased and {len(waiting):,} waiting: {value:.2f} s to the first decision, {grown_mb} MB")
    holds = value <= goal and grown_mb <= GOAL_MB
    verdict("quota_restart", value=value, unit="s", floor=floor, goal=round(goal, 2), holds=holds, memory_mb=grown_mb)


if __name__ == "__main__":
    main()
