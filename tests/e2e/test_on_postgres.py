"""The whole platform with its store in PostgreSQL, the database's fall included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scenes.gate import Gate
from scenes.hearing import Ear
from scenes.life import FREE_PORTS, headwater, homes, up
from scenes.postgres import Server

from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.wire.api.runs import RunSummary
from headwater.wire.entries.runs import RunAccepted

pytestmark = pytest.mark.faults
FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="module")
def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture(scope="module")
def place(url: str) -> Iterator[Place]:
    with homes() as folder:
        yield up(folder / "home", {"HEADWATER_STORE__URL": url})


@pytest.fixture(scope="module")
def hw_there(place: Place) -> Iterator[Client]:
    with Client(place.url, place.token) as client:
        client.deploy(FLOWS)
        yield client


def test_an_event_runs_to_its_end(hw_there: Client, place: Place) -> None:
    ear = Ear(hw_there, "eta")
    hw_there.publish("number.came", {"n": 21})
    run_id = ear.next(RunAccepted)[0].run_id
    assert run_id is not None
    told = list(hw_there.runs[run_id].watch())
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert told[-1].type == "run.succeeded"
    assert hw_there.runs[run_id].result(60) == 42
    assert not (place.home / "store.db").exists()


def test_a_second_platform_on_the_database_is_refused(place: Place, url: str) -> None:
    home = place.home.parent / "second"
    done = headwater("up", "--home", str(home), *FREE_PORTS, "--detach", settings={"HEADWATER_STORE__URL": url})
    assert done.code != 0
    assert "Another platform runs on the database" in done.out + done.err


def test_while_the_database_is_down_nothing_is_acknowledged_and_afterwards_nothing_is_lost(
    hw_there: Client, place: Place, postgres: Server, gate: Gate, tmp_path: Path
) -> None:
    before = len(doubles(hw_there))
    run = hw_there.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    guest = gate.guest()
    postgres.stop("immediate")
    try:
        asked = httpx.post(
            f"{place.url}/v1/runs",
            json={"flow": "eta/double", "parameters": {"n": 1}, "key": "once"},
            headers={"authorization": f"Bearer {place.token}"},
            timeout=60,
        )
        looked = httpx.get(
            f"{place.url}/v1/runs/{run.id}", headers={"authorization": f"Bearer {place.token}"}, timeout=60
        )
        assert looked.status_code == 503
        assert asked.status_code in (202, 503)  # pending or refused: not a word that it was started
        guest.let_go()  # the step ends while nobody can write it down
    finally:
        postgres.start()
    assert run.result(200) == 1
    told = list(run.watch())
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert (tmp_path / "notes").read_text().count("\n") == 1
    again = hw_there.run("eta/double", {"n": 1}, key="once")
    assert again.result(100) == 2
    assert len(doubles(hw_there)) == before + 1


def doubles(hw: Client) -> list[RunSummary]:
    return [run for run in hw.runs(limit=100) if run.flow == "double"]
