"""A run that goes on for longer than anything is kept, and needs what it had made by then."""

from __future__ import annotations

import random

from headwater.sdk import flow, step, wait_for

VERSION = 1


@flow(project="eta")
def staying(size: int) -> int:
    made = early(size)
    wait_for("the.day.came")
    there: int = late(made).result()
    return there + VERSION


@step
def early(size: int) -> bytes:
    return random.Random(2).randbytes(size)


@step
def late(made: bytes) -> int:
    return len(made)
