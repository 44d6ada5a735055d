"""Two projects on eight devices: one makes noise, the other asks seldom and says when its step began."""

from __future__ import annotations

import time

from headwater.sdk import flow, on, step


@flow(project="noisy", on=on.event("noise.made", where="data.asks", map={"hold_s": "data.hold_s"}))
def crunch(hold_s: float) -> None:
    hold(hold_s).result()


@step(gpus=1, cpus=0)
def hold(seconds: float) -> None:
    time.sleep(seconds)


@flow(project="quiet", on=on.event("quiet.asked"))
def ask() -> dict[str, int]:
    """When the flow's first line ran, and its step's, in nanoseconds."""
    here_ns = time.time_ns()
    there_ns: int = look().result()
    return {"flow": here_ns, "step": there_ns}


@step(gpus=1, cpus=0)
def look() -> int:
    return time.time_ns()
