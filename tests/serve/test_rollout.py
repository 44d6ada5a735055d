"""How far a deployment has come, from what Serve says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from headwater.core.inventory import Deployment, DeploymentState
from headwater.serve.rollout import START_WITHIN_S, TRIES_MAX, Rollout, Step, next_step, reason_of

if TYPE_CHECKING:
    from headwater.serve.apps import ModelStatus


class Said:
    """A `ModelStatus` without Ray Serve, which must not be imported here."""

    def __init__(self, readiness: str, message: str = "") -> None:
        self.readiness, self.message, self.replicas = readiness, message, 0


def status(readiness: str, message: str = "") -> ModelStatus:
    return cast("ModelStatus", Said(readiness, message))


def a_row(**changed: Any) -> Deployment:
    fields: dict[str, Any] = {
        "name": "eta",
        "project": "flights",
        "version": 2,
        "digest": "d",
        "replicas_min": 1,
        "replicas_max": 2,
        "principal": "ann",
        "requested_us": 5,
    }
    return Deployment(**{**fields, **changed})


def test_what_is_ready_and_known_to_be_needs_nothing() -> None:
    row = a_row(state=DeploymentState.READY)
    assert next_step(row, Rollout.of(row, 0.0).came_up(1.0), status("ready"), 2.0) is Step.NOTHING


def test_what_an_earlier_life_called_ready_is_probed_anew() -> None:
    row = a_row(state=DeploymentState.READY)
    assert next_step(row, Rollout.of(row, 0.0), status("ready"), 1.0) is Step.PROBE


@pytest.mark.parametrize("state", [DeploymentState.REQUESTED, DeploymentState.FAILED])
def test_what_serve_calls_ready_is_probed_before_anyone_is_told(state: DeploymentState) -> None:
    row = a_row(state=state)
    assert next_step(row, Rollout.of(row, 0.0), status("ready"), 1.0) is Step.PROBE


def test_what_starts_is_waited_for_and_fails_when_it_is_late() -> None:
    row = a_row()
    rollout = Rollout.of(row, 0.0)
    assert next_step(row, rollout, None, START_WITHIN_S) is Step.WAIT
    assert next_step(row, rollout, status("starting"), START_WITHIN_S + 1) is Step.FAIL
    assert reason_of(status("starting")) == "No replica was up within 300 s"


def test_a_failure_is_said_in_serves_words() -> None:
    row = a_row()
    failed = status("failed", "the model does not load")
    assert next_step(row, Rollout.of(row, 0.0), failed, 1.0) is Step.FAIL
    assert reason_of(failed) == "the model does not load"


def test_a_failed_rollout_is_tried_again_ever_later_and_then_no_more() -> None:
    row, now_s = a_row(), 0.0
    rollout = Rollout.of(row, now_s)
    for _ in range(TRIES_MAX - 1):
        rollout = rollout.failed(now_s)
        assert next_step(row, rollout, status("failed"), now_s + rollout.pause_s() - 0.1) is Step.WAIT
        now_s += rollout.pause_s()
        assert next_step(row, rollout, status("failed"), now_s) is Step.RETRY
        rollout = rollout.again(now_s)
    assert next_step(row, rollout.failed(now_s), status("failed"), now_s + 1e6) is Step.NOTHING


def test_the_same_version_asked_for_again_is_a_rollout_of_its_own() -> None:
    rollout = Rollout.of(a_row(), 0.0)
    assert rollout.fits(a_row(state=DeploymentState.READY))
    assert not rollout.fits(a_row(requested_us=6))
    assert not rollout.fits(a_row(version=3))
