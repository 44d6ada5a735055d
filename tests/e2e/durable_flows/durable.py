"""Flows that wait, call one another, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import os
import signal
from typing import Any

from headwater.sdk import StepFailed, WaitTimeout, current, flow, gather, now, publish, sleep, step, uuid, wait_for


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
    ctypes.string_at(0)


@step(retries=1, backoff=0)
def half(folder: str) -> int:
    """Gets half way in its first attempt, and dies."""
    done = current().restored or 0
    if not done:
        current().checkpoint(5)
        os.kill(os.getpid(), signal.SIGKILL)
    return int(done)


@flow(project="eta")
def goes_on(folder: str) -> int:
    return int(half(folder).result())


@step
def counted(file: str) -> int:
    """Leaves a line for each time it ran."""
    with open(file, "a") as lines:
        lines.write("x\n")
    return 1


@step
def fragile(file: str, n: int) -> int:
    if not os.path.exists(file):
        raise FileNotFoundError(file)
    return n


@flow(project="eta")
def breaks(folder: str) -> int:
    """Fails until the file `there` exists."""
    first = counted(f"{folder}/lines").result()
    return int(first + fragile(f"{folder}/there", 4).result())


@step
def version_of_tinytool() -> str:
    return str(importlib.import_module("tinytool").VERSION)


@flow(project="eta")
def two_versions(packages: list[str]) -> list[str]:
    return gather([version_of_tinytool.options(env=[package])() for package in packages])


@step(cache=True)
def counted_once(file: str) -> int:
    with open(file, "a") as lines:
        lines.write("x\n")
    return 7


@flow(project="eta")
def cached(file: str) -> int:
    return int(counted_once(file).result())


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


@flow(project="eta")
def fan_out(count: int, folder: str) -> int:
    for number in range(5):  # measured one by one, so that the others go together
        same(number, folder).result()
    return sum(gather(*(same(number, folder) for number in range(count))))


@step
def same(number: int, folder: str) -> int:
    """In the first process that comes to the seventh, somebody pulls the plug."""
    if number == 7:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(f"{folder}/died", os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
    return number


@step
def branch(folder: str, name: str) -> str:
    """Leaves its name, and fails for `odd` until the file `there` exists."""
    with open(f"{folder}/lines", "a") as lines:
        lines.write(f"{name}\n")
    if name.endswith("odd") and not os.path.exists(f"{folder}/there"):
        raise FileNotFoundError(name)
    return name


@flow(project="eta")
def inside(folder: str) -> list[str]:
    return gather([branch(folder, f"inside {name}") for name in ("even", "odd")])


@flow(project="eta")
def branches(folder: str) -> list[Any]:
    """Branches of its own and of a run inside it, of which one each fails; all of them come to their end."""
    futures = [*(branch(folder, name) for name in ("one", "odd", "three")), inside(folder)]
    results: list[Any] = []
    failures: list[StepFailed] = []
    for future in futures:
        try:
            results.append(future.result())
        except StepFailed as error:
            failures.append(error)
    for failure in failures:
        raise failure
    return results


@flow(project="eta")
def kills_its_host() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@flow(project="eta")
def waits_inside() -> None:
    nobody_answers().result()


@flow(project="eta")
def nobody_answers() -> None:
    wait_for("never")
