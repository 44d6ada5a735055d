"""What sharing does to waiting: traces through the real quota engine on a virtual clock.

    python bench/simulate.py teams            three teams on 64 GPUs, two days, bursts that borrow and give back
    python bench/simulate.py openb            the openb trace with its times, on one in 100 of its nodes
    python bench/simulate.py teams --svg F    draws what each team used over time

Allocation is GPU time in use of GPU time there is, until the last job has come; utilisation leaves out the work that
was lost, and goes on until the last job has ended; idle while waiting is GPU time free that waiting jobs asked for at
that moment (quota, whole gangs and fragmentation stand between). The same
arguments give the same figures: nothing in it depends on the machine but the decisions per second.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import chart
import openb_trace
from simulation import Job, Simulation, Tally

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec
from headwater.quota.tree import Tree, parse_tree

HOUR = 3600
NOMINAL = {"vision": 32, "speech": 16, "ranking": 16}
EVERY = 100
SHARES = {"LS": 60, "BE": 30, "Burstable": 5, "Guaranteed": 5}  # percent of the GPUs that are each one's own
CPUS, MEMORY = 128_000, 1 << 40


def a_node(number: int) -> NodeSpec:
    devices = tuple(DeviceSpec(f"n{number}/{gpu}") for gpu in range(8))
    return NodeSpec(f"n{number}", CPUS, MEMORY, "H100", devices, (("rack", f"{number // 4}"),))


def teams(seed: int) -> tuple[Tree, list[NodeSpec], list[Job], list[str]]:
    """Each team works in bursts at its own hours; gangs prefer one rack, and a quarter of the jobs save nothing."""
    chance = random.Random(seed)
    projects = {name: {"gpu": {"nominal": gpus, "borrow_limit": 48}} for name, gpus in NOMINAL.items()}
    tree = parse_tree({"cohort": {"research": {"projects": projects}}})
    jobs = []
    for project, begins in (("vision", 8), ("speech", 0), ("ranking", 16)):
        for number in range(220):
            day, hour = number % 2 * 24, (begins + chance.triangular(0, 14, 5)) % 24
            gpus, ranks = chance.choice(((500, 1), (1000, 1), (1000, 1), (2000, 1), (4000, 2), (8000, 2)))
            runtime = int(chance.lognormvariate(7.6, 0.9))
            demand = Demand(gpus, cpus_milli=4 * gpus, ranks=ranks, preferred_level="rack" if ranks > 1 else None)
            jobs.append(
                Job(
                    f"{project}-{number}",
                    project,
                    demand,
                    int((day + hour) * HOUR),
                    max(60, runtime),
                    saves=number % 4 > 0,
                )
            )
    return (
        tree,
        [a_node(number) for number in range(8)],
        sorted(jobs, key=lambda job: (job.at_s, job.name)),
        list(NOMINAL),
    )


def openb(seed: int) -> tuple[Tree, list[NodeSpec], list[Job], list[str]]:
    """The trace with its times on every `EVERY`th of its nodes; the quality of service stands for a team."""
    specs = openb_trace.nodes()[::EVERY]
    total = openb_trace.gpus_milli(specs) // 1000
    projects = {name: {"gpu": total * percent // 100} for name, percent in SHARES.items()}
    tree = parse_tree({"cohort": {"openb": {"projects": projects}}})
    jobs = [
        Job(task.name, task.quality, task.demand, task.created_s, max(1, task.ended_s - task.created_s))
        for task in openb_trace.tasks()
    ]
    return tree, specs, sorted(jobs, key=lambda job: (job.at_s, job.name)), list(SHARES)


SCENES = {"teams": teams, "openb": openb}


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def show(tally: Tally, total_milli: int, jobs: list[Job], took: float) -> None:
    every = [wait for waits in tally.waits.values() for wait in waits]
    print(f"{len(jobs):,} jobs, {len(every):,} started, {tally.refused} refused; {took:.1f} s of computing")
    for team, waits in [*sorted(tally.waits.items()), ("all", every)]:
        mean, p95 = sum(waits) / len(waits) / 60, percentile(waits, 0.95) / 60
        print(f"  {team:<12}{len(waits):>7,} started   waited {mean:8.1f} min mean {p95:9.1f} p95")
    last = max(job.at_s for job in jobs)
    print(f"allocation {allocation(tally, total_milli, last):.1%} until the last job came, after {last / HOUR:.0f} h")
    used, idle, lost, moving = (
        milli_s / 1000 / HOUR
        for milli_s in (
            tally.used_milli_s, tally.idle_while_waiting_milli_s, tally.lost_milli_s, tally.lost_moving_milli_s
        )
    )  # fmt: skip
    there = total_milli * tally.ended_s / 1000 / HOUR
    kept = (used - lost - moving) / there
    print(
        f"utilisation {kept:.1%} until the last job ended, after {tally.ended_s / HOUR:.0f} h: work that was not lost"
    )
    print(f"{used:,.0f} of {there:,.0f} GPU hours used, {idle:,.0f} idle while waiting")
    print(f"{tally.preempted} preempted for others, {lost:,.1f} GPU hours of work lost")
    print(f"{tally.moved} moved for a whole node, {moving:,.1f} GPU hours of work lost")


def allocation(tally: Tally, total_milli: int, until_s: int) -> float:
    used = sum(
        sum(level.values()) * (min(until_s, after) - at)
        for (at, level), (after, _) in zip(tally.steps, tally.steps[1:], strict=False)
        if at < until_s
    )
    return used / (total_milli * until_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", choices=sorted(SCENES), nargs="?", default="teams")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--svg", type=Path, help="draw the teams over time")
    chosen = parser.parse_args()
    tree, specs, jobs, names = SCENES[chosen.scene](chosen.seed)
    simulation = Simulation(tree, specs, jobs)
    began = time.perf_counter()
    tally = simulation.run()
    took = time.perf_counter() - began
    show(tally, simulation.total_milli, jobs, took)
    if chosen.svg:
        title = f"GPUs in use by team, {simulation.total_milli // 1000} there are"
        chosen.svg.write_text(chart.stacked(tally.steps, simulation.total_milli, names, title))
    waits = [wait for each in tally.waits.values() for wait in each]
    line = {"bench": f"simulate_{chosen.scene}", "value": round(sum(waits) / len(waits)), "unit": "s mean wait"}
    print(
        json.dumps(
            line | {"p95": percentile(waits, 0.95), "preempted": tally.preempted, "moved": tally.moved, "holds": True}
        )
    )


if __name__ == "__main__":
    main()
