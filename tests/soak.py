"""`make soak`: a real platform under load, with random faults for so many minutes, and what the oracle says of it.

Prints what was done to it. Ends with 1 where a promise did not hold; the seed makes the same choices again.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import time
from contextlib import suppress
from pathlib import Path

from scenes.evidence import Evidence, evidence_of
from scenes.harm import Harm
from scenes.load import Load
from scenes.oracle import judged, unsettled
from scenes.settling import Hurt, hurt

from headwater.errors import HeadwaterError

FLOWS = Path(__file__).parent / "e2e" / "flows"
SETTLED_WITHIN_S = 300.0
ASK_EVERY_S = 20.0
SHOWN_MAX = 40


class Soak:
    def __init__(self, victim: Hurt, seed: int) -> None:
        self._place, self._store, self._hw = victim.place, victim.store, victim.hw
        self._began = time.monotonic()
        home = victim.place.home
        self.load = Load(random.Random(f"load {seed}"), victim.hw, home.parent / "notes")
        self._harm = Harm(random.Random(f"harm {seed}"), home, victim.points, self.say)

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {line}", flush=True)

    async def run(self, minutes: float) -> list[str]:
        """What does not hold, in the end or on the way."""
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_later(60 * minutes, stopping.set)
        both = asyncio.gather(self.load.run(self._place.bootstrap, stopping), self._harm.run(stopping))
        found: list[str] = []
        while not found and not stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), ASK_EVERY_S)
            found = await self._asked_on_the_way()
        stopping.set()
        await both
        self.say("the faults have ended; waiting until nothing is on its way")
        return found or await self._settled()

    async def _asked_on_the_way(self) -> list[str]:
        try:
            seen = await asyncio.to_thread(evidence_of, self._store, self._place.bootstrap)
        except Exception as error:  # the broker is down: asked again later
            self.say(f"the oracle could not look: {type(error).__name__}")
            return []
        self.say(f"the oracle looks at {len(seen.runs)} runs, {seen.position} entries: {len(judged(seen))} violations")
        return judged(seen)

    async def _settled(self) -> list[str]:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while True:
            seen = await asyncio.to_thread(evidence_of, self._store, self._place.bootstrap)
            if found := judged(seen):
                return found
            left = unsettled(seen)
            if not left:
                self.say(f"all is done: {len(seen.runs)} runs, {seen.position} entries")
                return []
            if time.monotonic() > deadline:
                return [f"after {SETTLED_WITHIN_S:g} s {line}" for line in left]
            await asyncio.to_thread(self._decide, seen)

    def _decide(self, seen: Evidence) -> None:
        """A person's word for what waits for one."""
        for run in seen.runs:
            if run.state == "NEEDS_ATTENTION":
                with suppress(HeadwaterError):
                    self._hw.runs[run.id].fail("soak")


def main() -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is down is known here
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.minutes:g} minutes", flush=True)
    with hurt(FLOWS) as victim:
        soak = Soak(victim, asked.seed)
        found = asyncio.run(soak.run(asked.minutes))
        print("load:", ", ".join(f"{count} {kind}" for kind, count in sorted(soak.load.counts.items())))
        for line in found[:SHOWN_MAX]:
            print("VIOLATION", line)
        print(f"the oracle has {len(found) or 'no'} violations; seed {asked.seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
