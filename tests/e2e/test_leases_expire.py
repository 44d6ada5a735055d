"""A process that is stopped, and not dead, does not hold what it holds for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes.gate import Gate
from scenes.life import FREE_PORTS, headwater, homes, place_of

from headwater.sdk import Client

FLOWS = Path(__file__).parent / "flows"
LIFETIME_S = 6.0
pytestmark = pytest.mark.faults


@pytest.fixture
def folder() -> Iterator[Path]:
    with homes() as one:
        yield one


@pytest.fixture
def brief(folder: Path) -> Iterator[Client]:
    """A platform whose leases live for a few seconds."""
    (folder / "mine.toml").write_text(f"[leases]\nlease_lifetime_s = {LIFETIME_S}\n")
    words = ("--config", str(folder / "mine.toml"), "--detach", *FREE_PORTS)
    done = headwater("up", "--home", str(folder / "home"), *words)
    assert done.code == 0, done.err
    place = place_of(folder / "home")
    with Client(place.url, place.token) as hw:
        hw.deploy(FLOWS)
        yield hw


def agent_pid(hw: Client) -> int:
    return next((one.pid for one in hw.actors() if one.name.startswith("node_agent:") and one.pid), 0)


def test_a_worker_that_is_silent_for_a_lifetime_is_lost_and_its_step_runs_elsewhere(
    brief: Client, gate: Gate, folder: Path
) -> None:
    run = brief.run("eta/wait_at", {"gate": gate.port, "notes": str(folder / "notes")})
    first = gate.guest()
    os.kill(first.pid, signal.SIGSTOP)
    second = gate.guest()
    assert second.pid != first.pid
    assert first.is_gone()
    second.let_go()
    assert run.result(100) == second.attempt == 2
    (step,) = run.steps["stand_at"]
    assert [attempt.state for attempt in step.attempts] == ["LOST", "SUCCEEDED"]
    assert step.attempts[0].fence < step.attempts[1].fence


def test_an_agent_that_is_silent_for_a_lifetime_is_replaced_and_what_runs_goes_on(
    brief: Client, gate: Gate, folder: Path
) -> None:
    run = brief.run("eta/wait_at", {"gate": gate.port, "notes": str(folder / "notes")})
    guest = gate.guest()
    stopped = agent_pid(brief)
    os.kill(stopped, signal.SIGSTOP)
    while agent_pid(brief) in (0, stopped):
        pass  # the call itself waits for whoever does not answer
    guest.let_go()
    assert run.result(100) == guest.attempt == 1
    assert brief.run("eta/double", {"n": 2}).result(100) == 4
