"""`make fuzz`: every property test again and again, each round by a seed that none before had, for so many minutes.

`make test` tries the same examples each time, so that what it says depends on the code alone; this looks for others. It
ends at the first round that fails, whose seed makes the same examples again.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS_MAX = 100_000


def property_tests() -> list[str]:
    """The files that have some."""
    found = (path for path in (ROOT / "tests").rglob("test_*.py") if "hypothesis" in path.read_text())
    return sorted(str(path.relative_to(ROOT)) for path in found)


def holds(seed: int, files: list[str]) -> bool:
    chosen = ["-m", "hypothesis", "--hypothesis-profile=fuzz", f"--hypothesis-seed={seed}"]
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *chosen, *files], cwd=ROOT).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("files", nargs="*", help="left out: all that have property tests")
    asked = parser.parse_args()
    files, until = asked.files or property_tests(), time.monotonic() + 60 * asked.minutes
    for seed in range(asked.seed, asked.seed + ROUNDS_MAX):
        print(f"seed {seed}, {(until - time.monotonic()) / 60:.1f} minutes left", flush=True)
        if not holds(seed, files):
            print(f"A promise does not hold; the same examples again: make fuzz SEED={seed} MINUTES=0")
            return 1
        if time.monotonic() >= until:
            break
    print(f"{seed - asked.seed + 1} rounds held, from seed {asked.seed} to {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
