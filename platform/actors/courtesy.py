"""How processes that share few cores stay out of one another's way.

What a waiting step waits for (Conductor, Scheduler, hosts, workers) runs at the priority it was started with;
what only tells or keeps (API, views, registries) yields to it by a niceness of its own. And in every process a
thread that computes hands the interpreter over within half a millisecond, not five: calls come in on threads of
Ray's, and each of them needs it.
"""

from __future__ import annotations

import os
import sys
from typing import Final

FIRST: Final = 0
BESIDE: Final = 5
LAST: Final = 10
SWITCH_S: Final = 0.0005


def settle_in(niceness: int = FIRST) -> None:
    """Called by an actor when it is made; a test that makes one in its own process is left alone."""
    if os.environ.get("RAY_JOB_ID"):
        sys.setswitchinterval(SWITCH_S)
        os.nice(max(0, niceness - os.nice(0)))
