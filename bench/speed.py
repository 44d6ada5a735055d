"""How fast this machine is now: what ratios and scaled goals are read by."""

from __future__ import annotations

import time
from collections.abc import Callable


def loop_s() -> float:
    """Seconds that a Python loop of ten million integer additions takes."""
    return _took(time.perf_counter)


def loop_cpu_s() -> float:
    """The same in CPU time, beside what is measured in CPU time: neighbours do not count in either."""
    return _took(time.process_time)


def _took(clock: Callable[[], float]) -> float:
    total, began = 0, clock()
    for number in range(10_000_000):
        total += number
    return clock() - began
