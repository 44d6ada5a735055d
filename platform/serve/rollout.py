"""How far a deployment has come, judged from what Serve says of its app. Pure: times are handed in.

handed over ──► starting ──► Serve says ready ──► probed ──► ready
                    └── Serve says failed, or too late ──► failed ──after a while──► handed over again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from ..core.inventory import Deployment, DeploymentState

if TYPE_CHECKING:  # Ray Serve reads its settings when it is first imported: only the Deployer's own process does
    from .apps import ModelStatus

READY, FAILED, STARTING = "ready", "failed", "starting"  # of apps.Readiness
START_WITHIN_S = 300.0
TRIES_MAX = 4
FIRST_PAUSE_S = 5.0


class Step(StrEnum):
    """What to do next about a deployment."""

    NOTHING = "nothing"
    WAIT = "wait"
    PROBE = "probe"  # ask the app itself; ready is only what answers
    FAIL = "fail"  # say that it failed, and wait for the next try
    RETRY = "retry"  # hand it over afresh


@dataclass(frozen=True, slots=True)
class Rollout:
    """One request for a version on its way. `failed_s` is when it last failed, None while it is on its way.

    `answered` says that the app answered in this life: a row that says so may be of an earlier one.
    """

    name: str
    version: int
    requested_us: int
    began_s: float
    tries: int = 1
    failed_s: float | None = None
    answered: bool = False

    @staticmethod
    def of(row: Deployment, now_s: float) -> Rollout:
        return Rollout(row.name, row.version, row.requested_us, now_s)

    def fits(self, row: Deployment) -> bool:
        return (self.version, self.requested_us) == (row.version, row.requested_us)

    def came_up(self, now_s: float) -> Rollout:
        """Should it fall ill later, that is a failure of its own."""
        return Rollout(self.name, self.version, self.requested_us, now_s, answered=True)

    def failed(self, now_s: float) -> Rollout:
        return replace(self, failed_s=now_s)

    def again(self, now_s: float) -> Rollout:
        return replace(self, tries=self.tries + 1, began_s=now_s, failed_s=None)

    def pause_s(self) -> float:
        """Between a failure and the next try; twice as long each time."""
        return FIRST_PAUSE_S * 2.0 ** (self.tries - 1)


def next_step(row: Deployment, rollout: Rollout, status: ModelStatus | None, now_s: float) -> Step:
    readiness = str(status.readiness) if status is not None else STARTING
    if readiness == READY:
        return Step.NOTHING if rollout.answered and row.state is DeploymentState.READY else Step.PROBE
    if rollout.failed_s is not None:
        return _after_failure(rollout, now_s)
    late = now_s - rollout.began_s > START_WITHIN_S
    return Step.FAIL if readiness == FAILED or late else Step.WAIT


def reason_of(status: ModelStatus | None) -> str:
    """Why it failed, in Serve's words where it has any."""
    if status is not None and str(status.readiness) == FAILED and status.message:
        return status.message
    return f"No replica was up within {START_WITHIN_S:g} s"


def _after_failure(rollout: Rollout, now_s: float) -> Step:
    if rollout.tries >= TRIES_MAX:
        return Step.NOTHING
    assert rollout.failed_s is not None
    return Step.RETRY if now_s - rollout.failed_s >= rollout.pause_s() else Step.WAIT
