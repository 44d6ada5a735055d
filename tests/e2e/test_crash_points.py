"""A process that is killed at the worst moment changes nothing: each point once, and the oracle after each.

They hurt the platform of all tests, so they come late; what the oracle looks at is all that the others did, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes import kafka
from scenes.evidence import evidence_of
from scenes.hearing import Ear
from scenes.oracle import judged, unsettled

from headwater import crash
from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.sdk.client.runs import Run
from headwater.store.engine import sqlite_url
from headwater.wire.entries.events import EventRejected
from headwater.wire.entries.runs import RunNeedsAttention

WITHIN_S = 200.0
OF_A_WORKER = ("attempt.start", "attempt.effect")
ALONE = ("command.answer", "t5.before")
OF_THE_CONDUCTOR = tuple(point for point in crash.POINTS if point not in OF_A_WORKER + ALONE)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def points(platform: Place) -> Iterator[Path]:
    """The folder in which a point is armed; what a test has armed has killed by its end, and nothing was amiss."""
    folder = platform.home.parent / "crash"
    yield folder
    deadline, left = time.monotonic() + WITHIN_S, ["not asked yet"]
    while left and time.monotonic() < deadline:
        seen = evidence_of(sqlite_url(platform.home / "store.db"), platform.bootstrap)
        assert judged(seen) == []
        left = unsettled(seen) + [f"{file.name} has killed nobody" for file in folder.iterdir()]
    for file in folder.iterdir():
        file.unlink()
    assert left == []


def lines_of(notes: Path) -> int:
    return notes.read_text().count("\n") if notes.exists() else 0


def started_by(hw: Client, event_type: str, notes: Path) -> Run:
    """The run of an event that is published now."""
    ear = Ear(hw)
    return hw.runs[ear.run_of(hw.publish(event_type, {"notes": str(notes)}))]


def restarts(hw: Client) -> int:
    return next(one.restarts for one in hw.actors() if one.name == "conductor")


@pytest.mark.parametrize("point", OF_THE_CONDUCTOR)
def test_a_conductor_that_is_killed_at_a_point_does_everything_once(
    hw: Client, points: Path, notes: Path, point: str
) -> None:
    (points / point).write_text("1")
    run = started_by(hw, "note.wanted", notes)
    assert run.result(WITHIN_S) == 1
    assert lines_of(notes) == 1


def test_a_command_whose_answer_is_lost_is_obeyed_once(hw: Client, points: Path, notes: Path) -> None:
    (points / "command.answer").write_text("1")
    run = hw.run("eta/take_note", {"notes": str(notes)})
    assert run.result(WITHIN_S) == 1
    assert lines_of(notes) == 1


def test_an_append_whose_announcement_is_lost_is_announced_once(hw: Client, points: Path) -> None:
    (points / "t5.before").write_text("1")
    hw.run("eta/keep_one", {"table": "lake.announced"}).result(WITHIN_S)
    (table,) = [table for table in hw.tables() if table.name == "lake.announced"]
    assert table.rows_total == 1


@pytest.mark.parametrize(("point", "lines"), [("attempt.start", 1), ("attempt.effect", 2)])
def test_a_worker_that_is_killed_around_its_effect_costs_an_attempt(
    hw: Client, points: Path, notes: Path, point: str, lines: int
) -> None:
    (points / point).write_text("1")
    run = started_by(hw, "note.wanted", notes)
    assert run.result(WITHIN_S) == 2
    assert lines_of(notes) == lines


@pytest.mark.parametrize(("point", "lines"), [("attempt.start", 0), ("attempt.effect", 1)])
def test_an_effect_that_must_not_happen_twice_waits_for_a_person(
    hw: Client, points: Path, notes: Path, point: str, lines: int
) -> None:
    (points / point).write_text("1")
    ear = Ear(hw)
    run = hw.runs[ear.run_of(hw.publish("note.wanted.once", {"notes": str(notes)}))]
    ear.next(RunNeedsAttention)
    assert lines_of(notes) == lines
    run.accept(1)
    assert run.result(WITHIN_S) == 1


def test_a_record_that_kills_its_reader_is_set_aside_after_three_restarts(
    hw: Client, platform: Place, points: Path, notes: Path
) -> None:
    poison = kafka.event("note.wanted", {"notes": "poison"}, id="poison")
    good = [kafka.event("note.wanted", {"notes": str(notes)}, id=f"good-{number}") for number in range(2)]
    ear, before = Ear(hw), restarts(hw)
    (points / crash.PARSER).write_text("poison")
    kafka.send(platform.bootstrap, good[0], poison, good[1])
    first = ear.run_of("good-0")
    _, rejected = ear.next(EventRejected)
    (points / crash.PARSER).unlink()
    assert (rejected.code, rejected.reason[:27]) == ("crash_loop", "The conductor died 3 times ")
    assert hw.dead_letter(rejected.dead_letter_id).raw == poison
    for run_id in (first, ear.run_of("good-1")):
        assert hw.runs[run_id].result(WITHIN_S) == 1
    assert lines_of(notes) == 2
    assert restarts(hw) - before <= 3
