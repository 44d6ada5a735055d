"""How fast this machine is now: what ratios and scaled goals are read by."""

from __future__ import annotations

import time


def loop_s() -> float:
    """Seconds that a Python loop of ten million integer additions takes."""
    total, began = 0, time.perf_counter()
    for number in range(10_000_000):
        total += number
    return time.perf_counter() - began
