"""A process that comes by an armed point is killed; without a test there are no points."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater import crash
from headwater.actors.loop import wall_clock_us
from headwater.errors import InvalidInput
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.writer import CommitFailed, Writer

PASSES_BY = """
from headwater import crash
for number in range(3):
    print(number, flush=True)
    crash.at("t1.before")
for record in (None, b"harmless", b"a poisoned one"):
    print(record, flush=True)
    crash.at_sight_of(record)
"""


def passes_by(folder: Path | None) -> tuple[int, list[str]]:
    armed = {crash.VARIABLE: str(folder)} if folder else {}
    done = subprocess.run([sys.executable, "-c", PASSES_BY], env=os.environ | armed, capture_output=True, text=True)
    return done.returncode, done.stdout.split("\n")[:-1]


def test_a_point_kills_whoever_comes_by_for_the_nth_time_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "t1.before").write_text("2")
    assert passes_by(tmp_path) == (-signal.SIGKILL, ["0", "1"])
    assert list(tmp_path.iterdir()) == []
    assert passes_by(tmp_path)[0] == 0


def test_a_point_can_stop_whoever_comes_by_until_he_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "t1.before").write_text("2 stop")
    environment = os.environ | {crash.VARIABLE: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", PASSES_BY], env=environment) as walker:
        _, status = os.waitpid(walker.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert list(tmp_path.iterdir()) == []
        walker.send_signal(signal.SIGCONT)
        assert walker.wait() == 0


def test_a_record_with_the_text_kills_each_time(tmp_path: Path) -> None:
    (tmp_path / crash.PARSER).write_text("poison")
    for _ in range(2):
        code, said = passes_by(tmp_path)
        assert (code, said[-1]) == (-signal.SIGKILL, "b'a poisoned one'")


def test_without_the_variable_nothing_is_armed() -> None:
    assert passes_by(None)[0] == 0


@pytest.fixture
def armed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """This process comes by points that are armed in this folder."""
    monkeypatch.setenv(crash.VARIABLE, str(tmp_path / "points"))
    crash.armed_folder.cache_clear()
    yield tmp_path / "points"
    crash.armed_folder.cache_clear()


def test_a_folder_that_is_not_there_is_refused(armed: Path) -> None:
    with pytest.raises(InvalidInput, match="HEADWATER_CRASH"):
        crash.armed_folder()


def test_the_owners_clock_is_set_ahead_and_back(armed: Path) -> None:
    armed.mkdir()
    assert crash.clock_ahead_us() == 0
    for text, ahead_us in (("3600", 3_600_000_000), ("-1.5", -1_500_000)):
        (armed / crash.CLOCK).write_text(text)
        assert crash.clock_ahead_us() == ahead_us
        assert abs(wall_clock_us() - time.time_ns() // 1_000 - ahead_us) < 60_000_000


def test_one_answer_of_the_database_in_so_many_is_lost_after_it_has_landed(armed: Path, tmp_path: Path) -> None:
    armed.mkdir()
    create(sqlite_url(tmp_path / "store.db"), store_epoch="one")
    writer = Writer(open_engine(sqlite_url(tmp_path / "store.db")), "conductor")
    writer.take_epoch()
    (armed / crash.ANSWERS).write_text("7 1")
    with pytest.raises(CommitFailed):
        writer.commit({})
    (armed / crash.ANSWERS).unlink()
    assert writer.landed()
    writer.close()
