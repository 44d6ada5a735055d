"""What is said of a step that waits, and what can be asked and ordered about it, on a running platform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from scenes.gate import Gate
from typer.testing import CliRunner

from headwater.cli.app import app
from headwater.cli.demo import Place
from headwater.errors import Conflict, InvalidInput, NotFound
from headwater.sdk import Client
from headwater.wire.entries.steps import StepHeld, StepLeased
from headwater.wire.types import Entry

WITHIN_S = 120.0


def said(platform: Place, *words: str) -> str:
    environment = {"HEADWATER_URL": platform.url, "HEADWATER_TOKEN": platform.token, "COLUMNS": "200"}
    ended = CliRunner().invoke(app, words, env=environment)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_a_waiting_step_is_explained_simulated_prioritised_and_counted(
    hw: Client, platform: Place, gate: Gate, tmp_path: Path
) -> None:
    run = hw.run("eta/queue_up", {"gate": gate.port})
    first = gate.guest()
    entries = list(until_held(run.watch()))
    (held,) = [entry.body for entry in entries if isinstance(entry.body, StepHeld)]
    assert "it needs 1 GPU" in held.reason

    explained = hw.explain_step(held.step_id)
    assert explained.sentence.startswith("Step hold_device waits for quota: it needs 1 GPU")
    assert explained.eta is not None
    (leased,) = [entry for entry in entries if isinstance(entry.body, StepLeased)]
    assert explained.eta.at_us == leased.time_us + 600_000_000
    assert explained.eta.basis == "step hold_device declared to have ended by then"
    for told in (said(platform, "quota", "explain", "hold_device"), said(platform, "run", "show", run.id)):
        assert explained.sentence in told
        assert "should go at" in told
        assert explained.eta.basis in told

    scenario = tmp_path / "one-more-node.toml"
    scenario.write_text(
        '[[nodes]]\ngpus = 1\nmodel = "logical"\ncpu = 4\nmemory = "8GiB"\n'
        "[quota.cohort.all.projects.eta]\ngpu = 2\n[quota.cohort.all.projects.flights]\ngpu = 1\n"
    )
    assert said(platform, "quota", "simulate", str(scenario)) == f"1 would start: {held.step_id}\n"
    assert [each.step_id for each in hw.quota().waiting] == [held.step_id]

    assert said(platform, "quota", "priority", "hold_device", "50") == f"{held.step_id} waits with priority 50\n"
    with pytest.raises((Conflict, InvalidInput, NotFound), match="waits"):
        hw.order("quota.priority", {"step": f"{run.id}/77", "priority": 1})

    first.let_go()
    gate.guest().let_go()
    assert run.result(WITHIN_S) == [1, 1]
    with pytest.raises(NotFound):
        hw.explain_step(held.step_id)
    usage = said(platform, "quota", "usage", "--since", "1h", "--project", "eta")
    assert "eta" in usage
    assert "GPU h" in usage


def until_held(entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        if isinstance(entry.body, StepHeld):
            return
