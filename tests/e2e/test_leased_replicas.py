"""Replicas that lease devices: from training within seconds, and back to it."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from scenes.gate import Gate
from scenes.hearing import Ear
from scenes.seats import holder_of

from headwater.cli.demo import Place
from headwater.sdk import Client, Serving
from headwater.serve.keeping import FLOW
from headwater.wire.entries.models import DeploymentFailed, DeploymentReady
from headwater.wire.entries.quota import QuotaReclaimed
from headwater.wire.entries.runs import RunAccepted, RunCancelled
from headwater.wire.entries.steps import StepStarted

WITHIN_S = 120.0


@pytest.fixture
def model(hw: Client) -> Iterator[str]:
    """A model that is not served; what is served of it is ended, and its devices are free."""
    name = "leased_adder"
    hw.run("eta/keep_adder", {"name": name}).result(WITHIN_S)
    yield name
    ear = Ear(hw)
    hw.models[name].unserve()
    if keeping := [run for run in hw.runs(flow=FLOW) if run.ended_us is None]:
        ear.next(RunCancelled, lambda body: body.flow == FLOW)
        assert len(keeping) == 1


def test_serving_of_tier_1_takes_the_device_of_training_which_gets_it_back(
    hw: Client, platform: Place, gate: Gate, model: str
) -> None:
    ear = Ear(hw)
    hw.run("eta/points", {"rows": 400}).result(WITHIN_S)
    training = hw.run("eta/learn", {"gate": gate.port})
    gate.guest()  # it has the platform's only device
    hw.models[model].serve(Serving(gpus=1, tier=1))
    _, taken = ear.next(QuotaReclaimed, lambda body: body.step_id.startswith(training.id))
    assert taken.grace_s == 5
    ear.next(DeploymentReady, lambda body: body.name == model)
    assert list(hw.models[model].predict({"left": [1.0], "right": [2.0]})["sum"]) == [3.0]
    [lent] = [held for held in hw.quota().held if held.project == "eta"]
    assert lent.devices == taken.devices
    assert training.steps["fit_line"][0].state == "WAITING"

    hw.models[model].unserve()
    assert int(training.result(WITHIN_S)["began at row"]) > 0
    assert not list((platform.home / "serving" / model).iterdir())


def test_a_replica_whose_lease_dies_ends_and_stands_again_on_another(hw: Client, platform: Place, model: str) -> None:
    ear = Ear(hw)
    hw.models[model].serve(Serving(gpus=0.5, tier=1))
    entry, _ = ear.next(RunAccepted, lambda body: body.flow == FLOW)
    _, first = ear.next(StepStarted, lambda body: body.step_id.startswith(entry.run_id or "-"))
    ear.next(DeploymentReady, lambda body: body.name == model)
    seat = platform.home / "serving" / model / str(first.fence)
    replica = holder_of(seat.with_suffix(".replica"))
    holder_of(seat.with_suffix(".keeper")).kill()
    assert psutil.wait_procs([replica], timeout=WITHIN_S)[1] == []  # it does not outlive its lease
    _, second = ear.next(StepStarted, lambda body: body.step_id == first.step_id)
    assert second.fence > first.fence
    answer = hw.models[model].predict({"left": [1.0], "right": [2.0]})
    assert list(answer["sum"]) == [3.0]


def test_a_replica_that_can_have_no_device_says_why(hw: Client, model: str) -> None:
    ear = Ear(hw)
    hw.models[model].serve(Serving(gpus=64))
    _, failed = ear.next(DeploymentFailed, lambda body: body.name == model)
    assert failed.reason.startswith("None of its replicas has a place. Step keep asks for 64 GPUs")
