"""A process that is killed costs time and nothing else. These come last: they hurt the platform of all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

from scenes.gate import Gate
from scenes.hearing import Ear
from scenes.outside import Service
from scenes.zombie import words_of

from headwater.cli.demo import Place
from headwater.core.records.attempts import Attempt
from headwater.core.records.steps import Step
from headwater.local.home import Home
from headwater.sdk import Client
from headwater.sdk.client.runs import Run
from headwater.store.engine import open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.schema import ATTEMPTS, LOG, STEPS
from headwater.wire.api.status import ActorView
from headwater.wire.entries.steps import StepLeased, StepStarted
from headwater.wire.types import Entry


def newest_fence(run: Run) -> int:
    return run.steps["stand_at"][0].attempts[-1].fence


def actor(hw: Client, name: str) -> ActorView:
    return next(one for one in hw.actors() if one.name == name)


def test_a_killed_worker_costs_an_attempt_and_the_next_one_succeeds(hw: Client, gate: Gate, tmp_path: Path) -> None:
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    first = gate.guest()
    os.kill(first.pid, signal.SIGKILL)
    assert first.is_gone()
    second = gate.guest()
    assert second.pid != first.pid
    second.let_go()
    assert run.result(60) == second.attempt == 2
    (step,) = run.steps["stand_at"]
    assert [attempt.state for attempt in step.attempts] == ["LOST", "SUCCEEDED"]
    assert step.attempts[0].fence < step.attempts[1].fence


def test_what_a_worker_says_that_was_given_up_changes_nothing(
    hw: Client, platform: Place, gate: Gate, tmp_path: Path
) -> None:
    """It knows the secrets of the platform and of its attempt, and has a line of its own."""
    ear = Ear(hw)
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    os.kill(gate.guest().pid, signal.SIGKILL)
    second = gate.guest()
    ear.next(StepStarted, lambda body: body.step_id.startswith(run.id) and body.fence == newest_fence(run))
    known = known_of(platform, run.id)
    old, new = (attempt for attempt in known.attempts if attempt.step_id == run.steps["stand_at"][0].view.id)
    conductor, home = actor(hw, "conductor").pid, Home(platform.home)
    assert words_of(conductor, home, old) == ("claim_lost", "given up: another attempt holds the step, or it has ended")
    assert known_of(platform, run.id) == known
    assert words_of(conductor, home, new)[1] == ""  # the attempt that holds the step is heard, and so is its state
    changed = known_of(platform, run.id)
    assert [entry.type for entry in changed.entries[len(known.entries) :]] == ["step.checkpointed"]
    second.let_go()
    assert run.result(60) == 2
    assert old in known_of(platform, run.id).attempts


class Known(NamedTuple):
    entries: list[Entry]
    steps: list[Step]
    attempts: list[Attempt]


def known_of(platform: Place, run_id: str) -> Known:
    """What the rows and the log say of a run."""
    engine = open_engine(sqlite_url(platform.home / "store.db"), read_only=True)
    with Reader(engine).picture() as picture:
        rows = [picture.rows(table.name, table.c.run_id == run_id) for table in (STEPS, ATTEMPTS)]
        known = Known(picture.entries(LOG.c.run_id == run_id), *rows)
    engine.dispose()
    return known


def test_an_effect_outside_is_had_once_although_its_attempt_was_lost(hw: Client, gate: Gate) -> None:
    with Service() as service:
        run = hw.run("eta/pay", {"service": service.url, "gate": gate.port})
        os.kill(gate.guest().pid, signal.SIGKILL)
        gate.guest().let_go()
        assert run.result(60) == 2
    (step,) = run.steps["have_effect"]
    assert service.asked == [step.view.id, step.view.id]
    assert service.effects == {step.view.id}


def test_a_killed_conductor_comes_back_and_runs_no_finished_step_again(hw: Client, gate: Gate, tmp_path: Path) -> None:
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    entries = run.watch()
    guest = gate.guest()
    before = actor(hw, "conductor")
    os.kill(before.pid, signal.SIGKILL)
    guest.let_go()
    told = list(entries)
    assert told[-1].type == "run.succeeded"
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert (tmp_path / "notes").read_text().count("\n") == 1
    assert actor(hw, "conductor").pid != before.pid
    assert hw.run("eta/double", {"n": 2}).result(60) == 4


def test_a_command_that_meets_a_dying_conductor_is_obeyed_once(hw: Client) -> None:
    before = {run.id for run in hw.runs(flow="double")}
    os.kill(actor(hw, "conductor").pid, signal.SIGKILL)
    run = hw.run("eta/double", {"n": 3})
    assert run.result(60) == 6
    assert {run.id for run in hw.runs(flow="double")} - before == {run.id}


def test_a_watch_goes_on_over_a_killed_web_without_gap_or_repeat(hw: Client, gate: Gate, tmp_path: Path) -> None:
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    entries, told = run.watch(), []
    guest = gate.guest()
    for entry in entries:
        told.append(entry)
        if isinstance(entry.body, StepLeased) and entry.body.name == "stand_at":
            break
    os.kill(actor(hw, "web").pid, signal.SIGKILL)
    guest.let_go()
    told += entries
    assert told[-1].type == "run.succeeded"
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
