"""One word between two actors: a call on a line beside a call of a Ray actor, both with an answer. Goal: at most 0.5x.

In the rhythm of a platform at rest: each after a pause of some milliseconds.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab import p50, p99, platform, verdict
from speed import loop_s

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 300
REST_S = 0.01
SECRET = b"bench" * 8


class Answers:
    """An actor with both doors."""

    def __init__(self) -> None:
        from headwater.actors.lines.switchboard import Switchboard

        self._switchboard = Switchboard(self, lambda: SECRET)

    async def line(self) -> tuple[str, int]:
        return await self._switchboard.address()

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        return ""


class Asks:
    """An actor that asks it, one way and the other in turn; milliseconds."""

    async def ask(self, other: Any, samples: int) -> tuple[list[float], list[float]]:
        from headwater.actors.lines.line import Line

        async def address() -> tuple[str, int]:
            found: tuple[str, int] = await other.line.remote()
            return found

        line = Line("other", address, SECRET)
        await line.call("claim", 1, "w", "s")
        await other.claim.remote(1, "w", "s")
        lines, calls = [], []
        for _ in range(samples):
            await asyncio.sleep(REST_S)
            began = time.perf_counter()
            await line.call("claim", 1, "w", "s")
            lines.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(REST_S)
            began = time.perf_counter()
            await other.claim.remote(1, "w", "s")
            calls.append((time.perf_counter() - began) * 1e3)
        line.close()
        return lines, calls


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder, platform(Path(folder) / "home"):
        import ray  # not before the platform has said how

        answers = ray.remote(Answers).options(num_cpus=0).remote()
        asks: Any = ray.remote(Asks).options(num_cpus=0).remote()
        lines, calls = ray.get(asks.ask.remote(answers, SAMPLES))
    print(f"loop of 10 M additions {loop_s():.2f} s; {SAMPLES} samples")
    print(f"{'':24}{'p50 ms':>9}{'p99 ms':>9}")
    print(f"{'call of a Ray actor':24}{p50(calls):9.3f}{p99(calls):9.3f}")
    print(f"{'call on a line':24}{p50(lines):9.3f}{p99(lines):9.3f}")
    ratio = p50(lines) / p50(calls)
    verdict("lines", value=p50(lines), unit="ms", floor=p50(calls), goal=0.5, holds=ratio <= 0.5)


if __name__ == "__main__":
    main()
