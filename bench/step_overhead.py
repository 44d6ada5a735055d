"""One more sequential trivial step of a flow, durable, beside a bare Ray task's round trip. Goal: p50 at most 2x."""

from __future__ import annotations

import sys

from lab import p50, p99, platform, task_ms, verdict
from speed import loop_s

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
WARM = 20


def main() -> None:
    with platform() as (_, hw):
        hw.run("one_after_another", {"count": WARM}).result(timeout=120)
        taken = hw.run("one_after_another", {"count": STEPS}).result(timeout=300)
        assert isinstance(taken, list)
        steps = [each / 1e6 for each in taken]
        tasks = task_ms(STEPS)
    print(f"loop of 10 M additions {loop_s():.2f} s; {STEPS} samples")
    print(f"{'':24}{'p50 ms':>9}{'p99 ms':>9}")
    print(f"{'bare Ray task':24}{p50(tasks):9.2f}{p99(tasks):9.2f}")
    print(f"{'one more step':24}{p50(steps):9.2f}{p99(steps):9.2f}")
    ratio = p50(steps) / p50(tasks)
    verdict("step_overhead", value=p50(steps), unit="ms", floor=p50(tasks), goal=2, holds=ratio <= 2)


if __name__ == "__main__":
    main()
