"""`headwater down`: ends the platform of a home, in order; what an `up` that was killed left over too."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ..config import load
from .home import Home, read_state
from .processes import ProcessId, end, end_leftovers, is_alive

WITHIN_S = 60.0


def main(*, home: Path | None = None) -> None:
    """Returns when nothing of the platform lives. Raises NotFound-like errors never: down twice is no mistake."""
    folder = load(flags={"home": None if home is None else str(home)}).home
    state = read_state(folder)
    if state is not None and is_alive(state.up):
        _ask_to_stop(state.up)
        print("stopped")
        return
    place = Home(folder)
    left = end_leftovers(place.below("ray") / "ray.pid") + end_leftovers(place.below("broker") / "kafka.pid")
    place.clear_state()
    print(f"ended {len(left)} processes that an earlier life left over" if left else "nothing runs on this home")


def _ask_to_stop(known: ProcessId) -> None:
    os.kill(known.pid, signal.SIGTERM)
    deadline = time.monotonic() + WITHIN_S
    while is_alive(known):
        if time.monotonic() > deadline:
            end([known], grace_s=1.0)
            return
        time.sleep(0.05)
