"""Two projects that share eight devices: one makes noise, the other asks seldom."""

from __future__ import annotations

import time

from headwater.sdk import flow, on, step


@flow(project="noisy", on=on.event("noise.made", where="data.asks", map={"hold_s": "data.hold_s"}))
def crunch(hold_s: float) -> None:
    hold(hold_s).result()


@step(gpus=1, cpus=0, retries=3)
def hold(seconds: float) -> None:
    time.sleep(seconds)


@flow(project="quiet")
def ask() -> None:
    look().result()


@step(gpus=1, cpus=0)
def look() -> None:
    return None


@flow(project="quiet", on=on.event("headwater.device.quarantined"))
def see_to(device: str, reason: str) -> str:
    return f"{device}: {reason}"
