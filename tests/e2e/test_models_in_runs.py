"""A model that a run asks for by its alias stays the same while the alias moves."""

from __future__ import annotations

from scenes.gate import Gate

from headwater.sdk import Client


def test_a_run_keeps_the_version_that_an_alias_meant_at_first_use(hw: Client, gate: Gate) -> None:
    name = "moved_adder"
    for number in (1, 2):
        assert hw.run("eta/keep_adder", {"name": name}).result(200) == number
    hw.models[name].alias("champion", 1)
    run = hw.run("eta/use_champion", {"name": name, "gate": gate.port})
    guest = gate.guest()
    hw.models[name].alias("champion", 2)
    guest.let_go()
    assert run.result(200) == [11.0]
    assert [(pin.kind, pin.name, pin.version) for pin in run.detail().pins] == [("model", f"{name}@champion", 1)]
