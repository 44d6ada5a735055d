"""A platform that is started again much later: what is past its age moves to the lake or goes, and what something needs
stays. Its second life counts an age in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from scenes.cluster import until
from scenes.life import down, homes, up

from headwater.artifacts.files import Files
from headwater.errors import NotFound
from headwater.sdk import Client, Table
from headwater.sdk.client.runs import Run
from headwater.store.engine import open_engine, sqlite_url
from headwater.store.reader import Picture
from headwater.store.rows import codecs
from headwater.wire.entries.events import EventGivenUp
from headwater.wire.types import Entry

pytestmark = pytest.mark.faults
FLOWS = Path(__file__).parent / "flows"
AGING = Path(__file__).parent / "aging_flows"
WITHIN_S = 100.0
SIZE = 100_000
ENDED_LONG_AGO_S = 15.0
SHORT: Final = {
    "HEADWATER_STORE__ARCHIVE_AFTER_S": str(ENDED_LONG_AGO_S),
    "HEADWATER_STORE__LOG_KEEP_S": str(ENDED_LONG_AGO_S),
    **{
        f"HEADWATER_{name}": "1"
        for name in (
            "STORE__ARCHIVE_EVERY_S", "STORE__LETTERS_KEEP_S", "STORE__OPEN_LETTERS_KEEP_S", "STORE__CACHE_KEEP_S",
            "STORE__USAGE_KEEP_S", "STORE__CODE_KEEP_S", "STORE__TREES_KEEP_S", "ARTIFACTS__KEEP_S",
            "ARTIFACTS__GRACE_S", "LOGS__KEEP_S",
        )
    },
}  # fmt: skip


TABLES = ("runs", "steps", "attempts", "dead_letters", "step_cache", "leases", "code_versions", "quota_trees")


class Rows:
    """The rows of some tables as of one moment."""

    def __init__(self, home: Path) -> None:
        engine = open_engine(sqlite_url(home / "store.db"), read_only=True)
        with engine.connect() as connection, connection.begin():
            picture = Picture(connection, dict(codecs()))
            self.of = {name: picture.rows(name) for name in TABLES}
            self.entries = {entry.position: entry for entry in picture.entries()}
        engine.dispose()

    def words_of_no_run(self) -> set[int]:
        return {position for position, entry in self.entries.items() if entry.run_id is None}

    def keys(self, table: str, field: str) -> set[Any]:
        return {getattr(row, field) for row in self.of[table]}


@pytest.fixture
def home() -> Iterator[Path]:
    with homes() as folder:
        yield folder / "home"


def deploy(hw: Client, folder: Path, name: str, version: int) -> str:
    """The code version of the folder's flow, as its `version`th."""
    shutil.copytree(AGING / name, folder / name, dirs_exist_ok=True)
    code = folder / name / "flow.py"
    code.write_text(code.read_text().replace("VERSION = 1", f"VERSION = {version}"))
    return hw.deploy(folder / name).code_version


def result_digest(run: Run, step: str) -> str:
    (one,) = run.steps[step]
    assert one.view.artifact is not None
    return one.view.artifact


def open_letter(hw: Client, event_id: str) -> str:
    """Of an event that no run could be made of."""
    hw.publish("number.came", {"n": "no number"}, id=event_id)
    until(lambda: event_id in {letter.event_id for letter in hw.dlq()})
    return next(letter.id for letter in hw.dlq() if letter.event_id == event_id)


def with_one_project_more(tree: Any) -> Any:
    next(iter(tree["cohort"].values()))["projects"]["later"] = {"storage": 1_000_000}
    return tree


def test_what_is_old_is_archived_then_gone_and_what_is_needed_stays(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = up(home)
    with Client(first.url, first.token) as hw:
        hw.deploy(FLOWS)
        old, running = deploy(hw, tmp_path, "passing", 1), deploy(hw, tmp_path, "staying", 1)
        passed, stays = hw.run("eta/passing", {"size": SIZE}), hw.run("eta/staying", {"size": SIZE})
        model = hw.run("eta/keep_adder", {"name": "kept"})
        assert (passed.result(WITHIN_S), model.result(WITHIN_S)) == (2 * SIZE + 1, 1)
        until(lambda: [step.state for step in stays.steps.get("early", ())] == ["SUCCEEDED"])
        free, needed = result_digest(passed, "made"), result_digest(stays, "early")
        (registered,) = [each for each in hw.models() if each.name == "kept"]
        newer, newest = deploy(hw, tmp_path, "passing", 2), deploy(hw, tmp_path, "staying", 2)
        forgotten, resolved = open_letter(hw, "unseen"), open_letter(hw, "seen")
        hw.discard(resolved)
        hw.order("quota.apply", {"tree": with_one_project_more(hw.quota().tree)})
    down(home)
    before = Rows(home)
    assert len(before.of["quota_trees"]) == 2
    assert before.of["leases"]
    assert before.of["step_cache"]

    place = up(home, SHORT)
    until(lambda: Rows(home).keys("runs", "id") == {stays.id})
    until(lambda: not Rows(home).keys("leases", "fence"))
    until(lambda: Rows(home).keys("code_versions", "version") == before.keys("code_versions", "version") - {old})
    until(lambda: len(Rows(home).of["quota_trees"]) == 1)
    until(lambda: Rows(home).keys("dead_letters", "id") == Rows(home).keys("step_cache", "key") == set())
    until(lambda: not (before.words_of_no_run() & Rows(home).entries.keys()))
    after = Rows(home)
    assert {running, newer, newest} <= after.keys("code_versions", "version")
    assert after.keys("steps", "run_id") == after.keys("attempts", "run_id") == {stays.id}
    monkeypatch.setenv("HEADWATER_HOME", str(home))
    assert sorted(archived("runs_history", "id")) == sorted(before.keys("runs", "id") - {stays.id})
    said = archived("events_history", "position")
    assert len(said) == len(set(said))
    assert before.entries.keys() - after.entries.keys() <= set(said)
    assert forgotten in given_up(after.entries.values()) | set(archived("events_history", "subject"))

    with Client(place.url, place.token) as hw:
        with pytest.raises(NotFound):
            hw.runs[passed.id].detail()
        hw.collect_artifacts()
        there = {file.digest for file in Files(home / "artifacts").there()} & {free, needed, registered.digest}
        assert there == {needed, registered.digest}
        hw.publish("the.day.came", {})
        assert hw.runs[stays.id].result(WITHIN_S) == SIZE + 1
        assert hw.run("eta/passing", {"size": SIZE}).result(WITHIN_S) == 2 * SIZE + 2


def archived(table: str, column: str) -> list[Any]:
    found: list[Any] = Table(f"headwater.{table}").select(column).to_arrow().column(column).to_pylist()
    return found


def given_up(entries: Iterable[Entry]) -> set[str]:
    return {entry.body.dead_letter_id for entry in entries if isinstance(entry.body, EventGivenUp)}
