"""Many small steps of one run: each runs once, and they share calls."""

from __future__ import annotations

from pathlib import Path

from headwater.sdk import Client
from headwater.wire.entries.steps import StepLeased, StepSucceeded

COUNT = 300


def test_a_fan_out_runs_each_step_once_and_sends_short_ones_together(hw: Client, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    run = hw.run("eta/fan_out", {"count": COUNT, "notes": str(notes)})
    assert run.result(120) == sum(range(COUNT))
    assert sorted(map(int, notes.read_text().split())) == list(range(COUNT))
    told = list(run.watch())
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert sum(isinstance(entry.body, StepSucceeded) for entry in told) == COUNT
    leased = [entry.body for entry in told if isinstance(entry.body, StepLeased)]
    assert sum(body.place > 0 for body in leased) > COUNT / 2
