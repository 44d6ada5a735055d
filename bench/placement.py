"""Decisions per second of placement: where does this go, on a cluster that is nearly full.

The nodes of the openb trace (1,213 with 6,212 GPUs), and ten of each. Its tasks come in random order until
nine tenths of the GPUs are given away; from then on, whenever one has come, those that came longest ago end
until nine tenths are again. A decision is one task looked at: its place is chosen, by fragmentation, and
taken, or there is none; what ends meanwhile is counted in its time.

Where the compiled lines were built they decide; `--numpy` measures what decides without them.

The goals are set for a machine on which ten million integer additions in a Python loop take 0.6 s, and are
scaled by what the loop takes here, in the same run. Both are CPU time, so that neighbours do not count.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter, deque

import openb_trace
from speed import loop_cpu_s

from headwater.quota.messages import Demand
from headwater.quota.placement import fit, lines
from headwater.quota.placement.inventory import Inventory, Seat
from headwater.quota.undo import Undo

LOOP_S = 0.6
GOALS = {1: 20_000, 10: 10_000}
FILLED = 0.9


class Cluster:
    def __init__(self, copies: int, tasks: list[Demand]) -> None:
        specs = openb_trace.nodes(copies)
        self.undo = Undo()
        self.inventory = Inventory(self.undo)
        for spec in specs:
            self.inventory.join(spec)
        self.inventory.workload.give(Counter(tasks))
        self.models = tuple(self.inventory.gpu_models())
        self.most = int(openb_trace.gpus_milli(specs) * FILLED)
        self.used = self.count = self.refused = 0
        self.running: deque[tuple[int, Demand, tuple[Seat, ...]]] = deque()

    def decide(self, demand: Demand) -> None:
        self.undo.mark()
        self.count += 1
        seats = fit.place(self.inventory, demand, self.models)
        if seats is None:
            self.refused += 1
            return
        self.inventory.hold(self.count, seats)
        self.running.append((self.count, demand, seats))
        self.used += demand.gpus_milli
        while self.used > self.most:
            holder, ended, places = self.running.popleft()
            self.inventory.unhold(holder, places)
            self.used -= ended.gpus_milli


def rate(copies: int, tasks: list[Demand], decisions: int) -> float:
    """Decisions per second on a cluster that was filled before."""
    chance = random.Random(copies)
    cluster = Cluster(copies, tasks)
    while cluster.used + 8_000 < cluster.most:
        cluster.decide(chance.choice(tasks))
    coming = chance.choices(tasks, k=decisions)
    cluster.refused = 0
    began = time.process_time()
    for demand in coming:
        cluster.decide(demand)
    took = time.process_time() - began
    nodes = len(cluster.inventory.nodes)
    print(f"{nodes:,} nodes: {decisions:,} decisions in {took:.2f} s of CPU, {cluster.refused} found no place")
    return decisions / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--numpy", action="store_true", help="as without the compiled lines")
    chosen = parser.parse_args()
    if chosen.numpy:
        lines.compiled = None  # type: ignore[assignment]
    print(f"lines: {'NumPy' if lines.compiled is None else 'compiled'}")
    tasks = [task.demand for task in openb_trace.tasks()]
    for copies, at_least in GOALS.items():
        before = loop_cpu_s()
        value = rate(copies, tasks, chosen.decisions)
        slowness = (before + loop_cpu_s()) / 2 / LOOP_S
        goal = at_least / slowness
        line = {
            "bench": "placement" if copies == 1 else f"placement_x{copies}",
            "value": round(value),
            "unit": "decisions/s",
            "floor": round(slowness * LOOP_S, 3),
            "ratio": round(value / goal, 2),
            "goal": round(goal),
            "holds": value >= goal,
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
