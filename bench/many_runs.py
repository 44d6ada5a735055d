"""Many runs at once, each five times a trivial step and a durable sleep, beside the sleeps. Goal: at most 1.3x."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lab import platform, verdict
from speed import loop_s

from headwater.sdk import Client
from headwater.sdk.client import Run

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
ROUNDS, PAUSE_S = 5, float(sys.argv[2]) if len(sys.argv) > 2 else 4.0
SENDERS = 16


def main() -> None:
    with platform() as (_, hw):
        hw.run("step_and_sleep", {"rounds": 2, "pause_s": 0.1}).result(timeout=120)
        began = time.perf_counter()
        runs = _started(hw)
        started = time.perf_counter() - began
        for run in runs:
            assert run.result(timeout=1_200) == ROUNDS
        taken = time.perf_counter() - began
    sleeps = ROUNDS * PAUSE_S
    print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS:,} runs, all sent within {started:.1f} s")
    print(f"{'':24}{'s':>9}")
    print(f"{'the sleeps':24}{sleeps:9.2f}")
    print(f"{'first send to last end':24}{taken:9.2f}")
    verdict("many_runs", value=taken, unit="s", floor=sleeps, goal=1.3, holds=taken <= 1.3 * sleeps, runs=RUNS)


def _started(hw: Client) -> list[Run]:
    with ThreadPoolExecutor(SENDERS) as senders:
        ask = {"rounds": ROUNDS, "pause_s": PAUSE_S}
        return list(senders.map(lambda _: hw.run("step_and_sleep", ask), range(RUNS)))


if __name__ == "__main__":
    main()
