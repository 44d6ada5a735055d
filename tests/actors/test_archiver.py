"""Old runs move from the database to the lake: whole, once, and only those that are over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from scenes.store import T0, a_run, a_step, run_id

from headwater.actors.lake.archiver import Archiver
from headwater.actors.lake.history import EVENTS_HISTORY, RUNS_HISTORY
from headwater.actors.lake.table_writer import TableWriterActor
from headwater.actors.lake.word_archiver import WordArchiver
from headwater.actors.wiring import Wiring
from headwater.core.records.inbox import InboxRow, Offset
from headwater.data import catalog as catalogs
from headwater.errors import Unavailable
from headwater.store.aged import aged_runs, forget_words, forgotten, inbox_kept_us
from headwater.store.reader import Reader
from headwater.store.schema import LOG
from headwater.store.writer import Writer
from headwater.wire.entries.models import FlowDeployed
from headwater.wire.entries.runs import RunSucceeded
from headwater.wire.topics import EVENTS
from headwater.wire.types import Said

from .alone import a_wiring, alone, living

pytestmark = pytest.mark.asyncio(loop_scope="session")
TableWriter = alone(TableWriterActor)
OLD = T0 + 1_000
OF_FLOWS = LOG.c.type == "flow.deployed"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=["sqlite", "postgresql"])
def wiring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wiring]:
    one = a_wiring(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres").migrated())
    yield one
    for engine in one.lent:
        engine.dispose()


class Desk:
    """The Conductor's rows, and its hand to take them away."""

    def __init__(self, wiring: Wiring) -> None:
        self.writer = Writer(wiring.engine(), "conductor")
        self.writer.take_epoch()
        self.reader = Reader(wiring.engine(read_only=True))
        self.down = False

    def put(self, number: int, state: str = "SUCCEEDED", **changes: Any) -> None:
        run = a_run(number, state=state, ended_us=T0 + number, parameters={"n": number}, seq=1, **changes)
        body = RunSucceeded(flow=run.flow, duration_us=1, result=number)
        word = Said(body=body, subject=run.id, project="eta", principal="p", time_us=T0, run_id=run.id, seq=1)
        step = a_step(run.id, 0, state="SUCCEEDED")
        self.writer.commit({"runs": {run.id: run}, "steps": {step.id: step}}, [word])

    async def forget(self, run_ids: list[str]) -> int:
        if self.down:
            raise Unavailable("The Conductor is away")
        return self.writer.forget(lambda rows: forgotten(rows, "conductor", run_ids, T0))

    async def forget_words(self, positions: list[int]) -> int:
        if self.down:
            raise Unavailable("The Conductor is away")
        return self.writer.forget(lambda rows: forget_words(rows, positions))

    def numbers(self) -> list[int]:
        with self.reader.picture() as picture:
            return [run.parameters["n"] for run in picture.rows("runs")]


def in_lake(wiring: Wiring, table: str) -> pa.Table:
    with catalogs.opened(catalogs.embedded(wiring.folder / "lake")) as catalog:
        return catalog.load_table(table).scan().to_arrow()


def of(wiring: Wiring, writer: Any, desk: Desk, batch: int = 10) -> Callable[[int], Any]:
    return Archiver(desk.reader, writer, desk.forget, batch=batch).archive


async def test_a_run_that_is_over_moves_whole(wiring: Wiring) -> None:
    desk = Desk(wiring)
    desk.put(1)
    desk.put(2, state="FAILED")
    async with living(TableWriter(wiring)) as writer:
        archive = of(wiring, writer, desk)
        assert [await archive(OLD), await archive(OLD)] == [2, 0]
    runs, events = in_lake(wiring, RUNS_HISTORY).sort_by("id"), in_lake(wiring, EVENTS_HISTORY)
    assert runs["id"].to_pylist() == [run_id(1), run_id(2)]
    assert [msgspec.json.decode(text) for text in runs["parameters"].to_pylist()] == [{"n": 1}, {"n": 2}]
    assert runs["state"].to_pylist() == ["SUCCEEDED", "FAILED"]
    assert sorted(events["run_id"].to_pylist()) == [run_id(1), run_id(2)]
    assert set(events["type"].to_pylist()) == {"run.succeeded"}
    with desk.reader.picture() as picture:
        assert picture.rows("runs") == picture.rows("steps") == picture.entries(LOG.c.run_id.is_not(None)) == []


async def test_the_guides_example_finds_the_runs_that_failed(
    wiring: Wiring, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(wiring)
    desk.put(1)
    desk.put(2, state="FAILED")
    async with living(TableWriter(wiring)) as writer:
        await of(wiring, writer, desk)(OLD)
    (example,) = PYTHON.findall((repo_root / "docs" / "operations.md").read_text())
    monkeypatch.setenv("HEADWATER_HOME", wiring.home)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/operations.md", "exec"), names)
    assert names["failed"]["id"].to_pylist() == [run_id(2)]


async def test_what_lives_or_is_young_or_needs_a_person_stays(wiring: Wiring) -> None:
    desk = Desk(wiring)
    desk.put(1, state="RUNNING")
    desk.put(2, state="NEEDS_ATTENTION")
    desk.put(3, root_id=run_id(1))
    desk.put(4)
    desk.put(2_000)
    assert [run.id for run in aged_runs(desk.reader, OLD, 10)] == [run_id(4)]
    assert await desk.forget([run_id(1), run_id(2)]) == 0
    assert desk.numbers() == [1, 2, 3, 4, 2_000]


class DiesAt:
    """The TableWriter, whose process dies as it is to commit to `table`: before the commit, or after it."""

    def __init__(self, writer: Any, table: str, *, after: bool) -> None:
        self._writer, self._table, self._after = writer, table, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def append(self, table: str, *words: Any) -> object:
        if table == self._table and not self._after:
            raise Unavailable("died")
        done: object = await self._writer.append(table, *words)
        if table == self._table:
            raise Unavailable("died")
        return done


@pytest.mark.parametrize(
    ("table", "after"),
    [(RUNS_HISTORY, False), (RUNS_HISTORY, True), (EVENTS_HISTORY, False), (EVENTS_HISTORY, True), ("", True)],
)
async def test_a_pass_that_died_anywhere_leaves_every_run_in_the_lake_once(
    wiring: Wiring, table: str, after: bool
) -> None:
    desk = Desk(wiring)
    desk.put(5)
    desk.put(6)
    async with living(TableWriter(wiring)) as writer:
        assert await of(wiring, writer, desk)(T0 + 2) == 0
        desk.put(1)
        assert await of(wiring, writer, desk)(T0 + 2) == 1  # what was archived before is no concern of the next
        desk.down = not table
        with pytest.raises(Unavailable):
            await of(wiring, DiesAt(writer, table, after=after), desk)(OLD)
        desk.down = False
        desk.put(2)  # in the meantime others have come of age, one that ended before all of them
        desk.put(7)
        archive = of(wiring, writer, desk)
        while await archive(OLD):
            pass
    assert desk.numbers() == []
    expected = [run_id(number) for number in (1, 2, 5, 6, 7)]
    assert sorted(in_lake(wiring, RUNS_HISTORY)["id"].to_pylist()) == expected
    assert sorted(in_lake(wiring, EVENTS_HISTORY)["run_id"].to_pylist()) == expected


def deployed(number: int, *, time_us: int, run_id: str | None = None) -> Said:
    body = FlowDeployed(flow=f"f{number}", code_version="c", manifest={})
    return Said(body=body, subject="eta/f", project="eta", principal="p", time_us=time_us, run_id=run_id)


def read_up_to(desk: Desk, **next_of: int) -> None:
    rows = {("conductor", topic, 0): Offset(owner="conductor", topic=topic, partition=0, next=next_)
            for topic, next_ in next_of.items()}  # fmt: skip
    desk.writer.commit({"offsets": rows})


async def test_words_of_no_run_move_once_all_have_read_them(wiring: Wiring) -> None:
    desk = Desk(wiring)
    words = [deployed(n, time_us=T0 + n) for n in range(1, 6)]
    desk.writer.commit({}, [*words[:3], deployed(9, time_us=T0, run_id=run_id(1)), *words[3:]])
    async with living(TableWriter(wiring)) as writer:
        archive = WordArchiver(desk.reader, writer, desk.forget_words, batch=2).archive
        assert await archive(OLD) == 0  # nobody has said that he read them
        read_up_to(desk, log=100, relay=6)
        assert await archive(T0 + 3) == 2
        assert await archive(OLD) == 2
        assert await archive(OLD) == 0
    with desk.reader.picture() as picture:
        assert [entry.position for entry in picture.entries(OF_FLOWS)] == [4, 6]  # a run's, and what the relay owes
    moved = in_lake(wiring, EVENTS_HISTORY).sort_by("position")
    assert moved["position"].to_pylist() == [1, 2, 3, 5]
    assert [msgspec.json.decode(body)["flow"] for body in moved["body"].to_pylist()] == ["f1", "f2", "f3", "f4"]


@pytest.mark.parametrize("wiring", ["sqlite"], indirect=True)
@pytest.mark.parametrize("after", [False, True, None])
async def test_a_pass_over_words_that_died_leaves_each_in_the_lake_once(wiring: Wiring, after: bool | None) -> None:
    """It dies before its commit, after it, or while the Conductor is away."""
    desk = Desk(wiring)
    desk.writer.commit({}, [deployed(n, time_us=T0 + 10 * n) for n in range(1, 5)])
    read_up_to(desk, log=100, relay=100)
    async with living(TableWriter(wiring)) as writer:
        desk.down = after is None
        dying = writer if after is None else DiesAt(writer, EVENTS_HISTORY, after=after)
        with pytest.raises(Unavailable):
            await WordArchiver(desk.reader, dying, desk.forget_words, batch=10).archive(T0 + 25)
        desk.down = False
        archive = WordArchiver(desk.reader, writer, desk.forget_words, batch=10).archive
        while await archive(OLD):  # others have come of age
            pass
    assert sorted(in_lake(wiring, EVENTS_HISTORY)["position"].to_pylist()) == [1, 2, 3, 4]
    with desk.reader.picture() as picture:
        assert picture.entries(OF_FLOWS) == []


async def test_the_inbox_is_forgotten_after_its_time(wiring: Wiring) -> None:
    desk = Desk(wiring)
    fields: dict[str, Any] = {
        "owner": "conductor",
        "source": "/a",
        "sha256": "",
        "type": "x",
        "project": "eta",
        "principal": "p",
    }
    rows = [InboxRow(id=f"e{n}", received_us=T0 + n, **fields) for n in (-1, 0, 1)]
    desk.writer.commit({"inbox": {("conductor", "/a", row.id): row for row in rows}})
    await desk.forget([])
    with desk.reader.picture() as picture:
        assert [row.id for row in picture.rows("inbox")] == ["e0", "e1"]


async def test_the_inbox_is_kept_no_shorter_than_its_topic_keeps_an_event() -> None:
    assert inbox_kept_us(1.0) == EVENTS.retention_ms * 1_000
    assert inbox_kept_us(30 * 86_400.0) == 30 * 86_400 * 1_000_000
