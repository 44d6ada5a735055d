"""The life of a home: what it keeps over stops and kills, and what it leaves behind, which is nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from scenes.gate import Gate
from scenes.hearing import Ear
from scenes.life import FREE_PORTS, argv_of, down, environment, homes, place_of, processes_of, up

from headwater.cli.demo import Place
from headwater.local.home import running
from headwater.sdk import Client
from headwater.sdk.client.watch import cursor_of
from headwater.wire.entries.models import DeploymentReady, DeploymentRequested

FLOWS = Path(__file__).parent / "flows"
ENDED_WITHIN_S = 60.0
pytestmark = pytest.mark.faults


@pytest.fixture
def folder() -> Iterator[Path]:
    with homes() as one:
        yield one


def at(place: Place) -> Client:
    return Client(place.url, place.token)


def add(hw: Client) -> None:
    """A run, a table, and a model that is served."""
    ear = Ear(hw)
    hw.deploy(FLOWS)
    hw.run("eta/add").result(100)
    ear.next(DeploymentReady, lambda body: body.name == "adder")


def kept(hw: Client) -> list[object]:
    models = [(model.name, model.version, model.digest, model.run_id) for model in hw.models()]
    tables = [(table.name, table.snapshot_id, table.rows_total) for table in hw.tables()]
    flows = [(flow.project, flow.name, flow.code_version) for flow in hw.flows()]
    return [hw.runs(limit=100), models, tables, flows, hw.status().store_epoch]


def adds(hw: Client) -> bool:
    return bool(hw.models["adder"].predict({"left": [1.0], "right": [2.0]})["sum"].tolist() == [3.0])


def test_a_stopped_home_shows_and_serves_the_same_in_its_next_life(folder: Path) -> None:
    home = folder / "home"
    with at(up(home)) as hw:
        add(hw)
        assert adds(hw)
        before, cursor = kept(hw), cursor_of(hw.status())
    down(home)
    assert processes_of(folder) == []
    with at(up(home)) as hw:
        assert kept(hw) == before
        ear = Ear(hw, since=cursor)  # it answers no more until it is told again, on whatever port
        ear.next(DeploymentRequested, lambda body: body.name == "adder")
        ear.next(DeploymentReady, lambda body: body.name == "adder")
        assert adds(hw)
        assert hw.run("eta/double", {"n": 2}).result(100) == 4


def test_after_a_kill_the_next_up_finishes_what_ran_and_the_old_life_is_gone(folder: Path, gate: Gate) -> None:
    home = folder / "home"
    with at(up(home)) as hw:
        hw.deploy(FLOWS)
        run_id = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(folder / "notes")}).id
        gate.guest()
    old = processes_of(folder)
    os.kill(running(home).up.pid, signal.SIGKILL)
    with at(up(home)) as hw:
        assert [each for each in old if each.is_running()] == []
        gate.guest().let_go()
        assert hw.runs[run_id].result(100) == 2
        assert (folder / "notes").read_text().count("\n") == 1


def test_two_homes_live_side_by_side(folder: Path) -> None:
    with at(up(folder / "one")) as one, at(up(folder / "two")) as two:
        one.deploy(FLOWS)
        assert one.run("eta/double", {"n": 1}).result(100) == 2
        assert two.flows() == []
        two.deploy(FLOWS)
        assert two.run("eta/double", {"n": 2}).result(100) == 4
        assert len(one.runs(limit=10)) == len(two.runs(limit=10)) == 1
        down(folder / "one")
        assert two.run("eta/double", {"n": 3}).result(100) == 6


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_that_was_started(folder: Path, how: signal.Signals) -> None:
    home = folder / "home"
    words = argv_of("up", "--home", str(home), *FREE_PORTS)
    with subprocess.Popen(words, env=environment(None), stdout=subprocess.PIPE, text=True) as life:
        assert life.stdout is not None
        next(line for line in life.stdout if line.startswith("ready in"))
        with at(place_of(home)) as hw:
            hw.deploy(FLOWS)
            assert hw.run("eta/double", {"n": 1}).result(100) == 2
        started = processes_of(folder)
        life.send_signal(how)
        said = life.stdout.read()
        assert life.wait(ENDED_WITHIN_S) == 0
    assert "stopped" in said
    assert len(started) > 5
    assert [each for each in started if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    assert processes_of(folder) == []
