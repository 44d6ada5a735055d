"""Flows that wait, call one another, and come back."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from headwater.sdk import StepFailed, WaitTimeout, flow, gather, now, publish, sleep, step, uuid, wait_for


@step
def add(a: int, b: int) -> int:
    return a + b


@flow(project="eta")
def approval(n: int) -> dict[str, Any]:
    """Waits for a person, longer than it may stay in memory."""
    name = uuid()
    began = now()
    twice = add(n, n)
    publish("approval.asked", {"n": n})
    event = wait_for("approval.given", where=f"data.n == {n}", timeout="5m")
    return {"by": event.data["by"], "sum": twice.result(), "name": str(name), "waited": now() > began}


@flow(project="eta")
def naps(times: int, seconds: float) -> int:
    """Sleeps longer than it may stay in memory."""
    total = 0
    for turn in range(times):
        sleep(seconds)
        total = add(total, turn).result()
    return total


@flow(project="eta")
def fibonacci(n: int) -> int:
    return n if n < 2 else sum(gather(fibonacci(n - 1), fibonacci(n - 2)))


@flow(project="eta")
async def woven(n: int) -> list[int]:
    async def one(number: int) -> int:
        await asyncio.sleep(0.01 * number)
        return int(await add(number, await add(number, 0)))

    return await asyncio.gather(*(one(number) for number in range(n)))


@flow(project="eta")
def nobody_comes() -> str:
    try:
        wait_for("never", timeout=0.2)
    except WaitTimeout:
        return "timeout"
    return "?"


@step(effect="once")
def dies_once() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@step
def crashes() -> None:
    print("last words")
    os.kill(os.getpid(), signal.SIGSEGV)


@flow(project="eta")
def loses_once() -> str:
    return str(dies_once().result())


@flow(project="eta")
def segfaults() -> str:
    try:
        crashes().result()
    except StepFailed as error:
        return error.kind
    return "?"
