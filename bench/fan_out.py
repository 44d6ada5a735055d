"""A run that fans out into many trivial steps, each with its rows, beside as many bare Ray tasks. Goal: at most 1x.

The Conductor's memory is read before, after, and after as many again: what has ended is rows.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from lab import platform, verdict
from speed import loop_s

from headwater.sdk import Client

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
WARM = 200


def main() -> None:
    with platform() as (_, hw):
        hw.run("fan_out", {"count": WARM}).result(timeout=120)
        memory = [_conductor_mb(hw)]
        began = time.perf_counter()
        run = hw.run("fan_out", {"count": STEPS})
        assert run.result(timeout=1_200) == sum(range(STEPS))
        taken = time.perf_counter() - began
        memory.append(_conductor_mb(hw))
        hw.run("fan_out", {"count": STEPS}).result(timeout=1_200)
        memory.append(_conductor_mb(hw))
        tasks = _tasks_s(WARM, STEPS)
    print(f"loop of 10 M additions {loop_s():.2f} s; {STEPS:,} steps")
    print(f"{'':24}{'s':>9}{'per s':>9}")
    print(f"{'bare Ray tasks':24}{tasks:9.2f}{STEPS / tasks:9.0f}")
    print(f"{'steps of a run':24}{taken:9.2f}{STEPS / taken:9.0f}")
    before, after, again = memory
    print(f"Conductor's memory {before:.0f} MB before, {after:.0f} MB after, {again:.0f} MB after as many again")
    holds = taken <= tasks
    verdict("fan_out", value=taken, unit="s", floor=tasks, goal=1, holds=holds, steps=STEPS, conductor_mb=memory)


def _conductor_mb(hw: Client) -> float:
    """Resident, once what the last run left has gone."""
    return next(actor.memory_bytes for actor in hw.actors() if actor.name == "conductor") / 1e6


def _tasks_s(warm: int, count: int) -> float:
    """As many bare Ray tasks, all at once, with their results."""
    import ray

    task: Any = ray.remote(lambda number: number)
    ray.get([task.remote(number) for number in range(warm)])
    began = time.perf_counter()
    ray.get([task.remote(number) for number in range(count)])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
