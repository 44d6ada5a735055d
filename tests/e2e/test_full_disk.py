"""The database's disk runs full under a running platform: it fails closed, and goes on once there is room."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scenes.disk import disk
from scenes.life import FREE_PORTS, headwater, homes, place_of

from headwater.errors import HeadwaterError, Unavailable
from headwater.sdk import Client

FLOWS = Path(__file__).parent / "flows"
RUNS_MAX = 2_000  # until the database has no page left
WITHIN_S = 120.0


def fill(file: Path) -> None:
    """Writes until there is not a byte left."""
    with file.open("wb", buffering=0) as sink:
        for block in (1 << 16, 1 << 9):
            try:
                while True:
                    sink.write(bytes(block))
            except OSError:
                continue


def until(holds: Callable[[], bool], what: str) -> None:
    """Returns once it holds. Readiness is asked for: it tells nobody."""
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.5)


def accepted(hw: Client) -> dict[str, int]:
    """Runs that were acknowledged before the platform refused one, with what each doubles."""
    runs: dict[str, int] = {}
    for n in range(RUNS_MAX):
        try:
            runs[hw.run("eta/double", {"n": n}, key=f"key-{n}").id] = n
        except Unavailable:
            return runs
    raise AssertionError(f"{RUNS_MAX} runs were taken in, and the disk is full")


@pytest.mark.faults
def test_a_database_without_room_refuses_and_loses_nothing_that_was_acknowledged() -> None:
    with homes() as folder, disk(folder / "disk", "size=40m") as small:
        (folder / "mine.toml").write_text(f'[store]\nurl = "sqlite:///{small}/store.db"\n')
        words = ("--config", str(folder / "mine.toml"), "--detach", *FREE_PORTS)
        done = headwater("up", "--home", str(folder / "home"), *words)
        assert done.code == 0, done.err
        place = place_of(folder / "home")
        with Client(place.url, place.token) as hw:
            hw.deploy(FLOWS)
            before = hw.run("eta/double", {"n": 21})
            assert before.result(60) == 42
            fill(small / "fill")
            runs = accepted(hw)
            until(lambda: not hw.ready().ready, "readyz says that it is not ready")
            with pytest.raises(HeadwaterError):
                hw.run("eta/double", {"n": 1}, key="refused")
            (small / "fill").unlink()
            until(lambda: hw.ready().ready, "it goes on once there is room")
            assert {run: hw.runs[run].result(60) for run in runs} == {run: 2 * n for run, n in runs.items()}
            assert before.result(60) == 42
            assert hw.run("eta/double", {"n": 4}, key="after").result(60) == 8
