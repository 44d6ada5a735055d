"""`headwater runs --json` as a whole process, beside `python -c "import http.client"`. Goal: at most 3x."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from lab import p50, p99, platform, verdict
from speed import loop_s

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 25


def process_ms(argv: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=environment)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    command = [str(Path(sys.executable).with_name("headwater")), "runs", "--json"]
    floor = [sys.executable, "-c", "import http.client"]
    with platform() as (supervisor, hw):
        hw.run("one_after_another", {"count": 1}).result(timeout=120)
        environment = {**os.environ, "HEADWATER_HOME": str(supervisor.home.folder)}
        pairs = [(process_ms(command, environment), process_ms(floor, environment)) for _ in range(RUNS)]
    ours, bare = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS} runs, alternating")
    print(f"{'':28}{'p50 ms':>9}{'p99 ms':>9}")
    print(f"{'python, import http.client':28}{p50(bare):9.1f}{p99(bare):9.1f}")
    print(f"{'headwater runs --json':28}{p50(ours):9.1f}{p99(ours):9.1f}")
    holds = p50(ours) <= 3 * p50(bare)
    verdict("cli", value=p50(ours), unit="ms", floor=p50(bare), goal=3, holds=holds)


if __name__ == "__main__":
    main()
