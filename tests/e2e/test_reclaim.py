"""Owners get their devices back, and whoever made way loses nothing."""

from __future__ import annotations

from scenes.gate import Gate

from headwater.sdk import Client

WITHIN_S = 120.0


def test_a_borrower_goes_on_from_checkpoint_and_position_and_ends_with_the_same_model(hw: Client, gate: Gate) -> None:
    hw.run("eta/points", {"rows": 2_000}).result(WITHIN_S)
    undisturbed = hw.run("eta/learn", {"gate": 0}).result(WITHIN_S)
    run = hw.run("eta/learn", {"gate": gate.port})
    gate.guest()  # it has eta's borrowed device, and stands half way
    assert hw.run("flights/surroundings").result(WITHIN_S)["step"] == "look_around"
    disturbed = run.result(WITHIN_S)
    assert int(disturbed["began at row"]) > 0
    assert disturbed["weights"] == undisturbed["weights"]
    assert disturbed["order"] == undisturbed["order"]  # the same rows in the same order, none twice and none left out
    assert disturbed["rows"] == undisturbed["rows"]
    first, second = run.steps["fit_line"][0].attempts
    assert (first.state, second.state) == ("PREEMPTED", "SUCCEEDED")
    assert first.failure is not None
    assert first.failure.message.startswith("Ended for step look_around of project flights")
    assert "step.preempting" in [entry.type for entry in run.watch()]
