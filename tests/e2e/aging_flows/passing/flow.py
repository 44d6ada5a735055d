"""Runs that end, and leave: a result that lies in a file, a device that was lent, a result kept for others."""

from __future__ import annotations

import random

from headwater.sdk import flow, step

VERSION = 1


@flow(project="eta")
def passing(size: int) -> int:
    there: int = len(made(size).result()) + kept(size).result()
    return there + VERSION


@step(gpus=1)
def made(size: int) -> bytes:
    return random.Random(1).randbytes(size)  # so that it is no smaller in a file


@step(cache=True)
def kept(size: int) -> int:
    return size
