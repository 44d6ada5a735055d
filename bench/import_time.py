"""What importing `headwater.sdk`, and what a flow needs of it, cost over `python -c pass`. Goal: at most 0.3 s."""

from __future__ import annotations

import subprocess
import sys
import time

from lab import p50, verdict
from speed import loop_s

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 15
GOAL_S = 0.3
USED = "from headwater.sdk import Client, flow, on, step"
LIGHT = "; import sys; assert 'ray' not in sys.modules"
PACKAGE = "import headwater.sdk"
CODE = {"pass": "pass", PACKAGE: PACKAGE + LIGHT, USED: USED + LIGHT}


def process_s(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    rounds = [{name: process_s(code) for name, code in CODE.items()} for _ in range(RUNS)]
    middle = {name: p50([each[name] for each in rounds]) for name in CODE}
    floor = middle["pass"]
    print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS} rounds, alternating")
    for name, seconds in middle.items():
        print(f"{name:52}{seconds * 1e3:9.1f} ms{(seconds - floor) * 1e3:+9.1f} ms")
    over, used = middle[PACKAGE] - floor, middle[USED] - floor
    verdict("import_time", value=over, unit="s", floor=floor, goal=GOAL_S, holds=over <= GOAL_S, used_s=round(used, 3))


if __name__ == "__main__":
    main()
