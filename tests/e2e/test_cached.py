"""A kept result serves a step that was called before its inputs were there."""

from __future__ import annotations

from pathlib import Path

from scenes.gate import Gate

from headwater.sdk import Client


def test_a_step_that_is_fed_later_is_looked_up_by_what_it_is_fed(hw: Client, gate: Gate, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    for n in (7, 7, 8):
        run = hw.run("eta/cached_of", {"n": n, "gate": gate.port, "notes": str(notes)})
        guest = gate.guest()
        while "tenfold" not in run.steps:
            pass  # the step before it may have begun before the flow came to this call
        assert [each.state for each in run.steps["tenfold"]] == ["BLOCKED"]
        guest.let_go()
        assert run.result(200) == 10 * n
    assert notes.read_text() == "7\n8\n"
