"""The TableWriter on a real store and a real catalog."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headwater.actors.lake.table_writer import TableWriterActor
from headwater.actors.wiring import Wiring
from headwater.core.inventory import QuotaTree, TableHead
from headwater.core.records.storage import StorageUse
from headwater.data import catalog as catalogs
from headwater.data.commit import Append, append_batches
from headwater.data.write import write_files
from headwater.errors import Conflict, InvalidInput, NotFound
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.entries.tables import TableCommitted, TableReset

from .alone import a_wiring, alone, entries, living

pytestmark = pytest.mark.asyncio(loop_scope="session")
TableWriter = alone(TableWriterActor)
TRIPS = "lake.trips"


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    return a_wiring(tmp_path)


def rows(*days: str) -> pa.Table:
    return pa.table({"day": pa.array(days, pa.string())})


async def append(writer: Any, key: str, *days: str) -> dict[str, Any]:
    """As a worker does it: the files are written by the caller, the commit is the TableWriter's."""
    data = rows(*days)
    target = await writer.prepare(TRIPS, data.schema)
    files = write_files(target, data.to_batches())
    answer: dict[str, Any] = await writer.append(TRIPS, files, key, "flights", "ann")
    return answer


def a_foreign_commit(wiring: Wiring, *days: str) -> None:
    with catalogs.opened(catalogs.embedded(wiring.folder / "lake")) as catalog:
        catalog.load_table(TRIPS).append(rows(*days))


def committed(wiring: Wiring) -> list[TableCommitted]:
    return [entry.body for entry in entries(wiring) if isinstance(entry.body, TableCommitted)]


def the_head(wiring: Wiring) -> TableHead:
    with Reader(wiring.engine(read_only=True)).picture() as picture:
        [head] = picture.rows("table_heads")
    assert isinstance(head, TableHead)
    return head


async def test_an_append_is_committed_announced_and_answered(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        answer = await append(writer, "r1/2/1", "mon", "tue")
    [entry] = entries(wiring, TableCommitted)
    assert (entry.project, entry.principal, entry.causation) == ("flights", "ann", "r1/2/1")
    [body] = committed(wiring)
    assert {**answer, "already": False} == answer
    assert (answer["snapshot_id"], answer["rows_added"], answer["rows_total"]) == (body.snapshot_id, 2, 2)
    assert the_head(wiring).columns == [["day", "string"]]
    assert the_head(wiring).metadata_location == answer["metadata_location"]


async def test_a_repeated_key_is_no_second_commit_even_after_a_restart(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        first = await append(writer, "k", "mon")
        await append(writer, "other", "tue")
    async with living(TableWriter(wiring)) as writer:
        again = await append(writer, "k", "mon")
    assert (again["snapshot_id"], again["rows_total"], again["already"]) == (first["snapshot_id"], 1, True)
    assert len(committed(wiring)) == 2


async def test_appends_to_one_table_queue_and_each_is_announced_in_order(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        answers = await asyncio.gather(*(append(writer, f"k{number}", "mon") for number in range(4)))
    line = committed(wiring)
    assert [body.previous_snapshot_id for body in line] == [None, *(body.snapshot_id for body in line[:-1])]
    assert {answer["snapshot_id"] for answer in answers} == {body.snapshot_id for body in line}
    assert the_head(wiring).rows_total == 4


async def test_a_foreign_commit_is_announced_once_before_ours(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        await append(writer, "k1", "mon")
        a_foreign_commit(wiring, "tue", "wed")
        await append(writer, "k2", "thu")
        await writer.announce_all()
    assert [(body.commit_key, body.rows_total) for body in committed(wiring)] == [("k1", 1), ("", 3), ("k2", 4)]


async def test_a_commit_that_was_never_announced_is_announced_after_the_start(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        await append(writer, "k1", "mon")
    a_foreign_commit(wiring, "tue")
    async with living(TableWriter(wiring)) as writer:
        await writer.announce_all()
    assert [body.rows_added for body in committed(wiring)] == [1, 1]


async def test_a_commit_whose_answer_was_lost_in_a_crash_is_not_made_again(wiring: Wiring) -> None:
    data = rows("mon")
    with catalogs.opened(catalogs.embedded(wiring.folder / "lake")) as catalog:
        made = append_batches(catalog, Append(TRIPS, (), "k"), data.schema, data.to_batches())
    async with living(TableWriter(wiring)) as writer:
        answer = await append(writer, "k", "mon")
    assert (answer["snapshot_id"], answer["already"]) == (made.snapshot_id, True)
    assert [body.snapshot_id for body in committed(wiring)] == [made.snapshot_id]


async def test_a_rollback_is_one_reset_and_appends_go_on(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        first = await append(writer, "k1", "mon")
        second = await append(writer, "k2", "tue")
        with catalogs.opened(catalogs.embedded(wiring.folder / "lake")) as catalog:
            catalog.load_table(TRIPS).manage_snapshots().rollback_to_snapshot(first["snapshot_id"]).commit()
        third = await append(writer, "k3", "wed")
        again = await append(writer, "k3", "wed")
    [reset] = [entry.body for entry in entries(wiring) if isinstance(entry.body, TableReset)]
    assert (reset.from_snapshot_id, reset.to_snapshot_id) == (second["snapshot_id"], third["snapshot_id"])
    assert (again["snapshot_id"], again["already"]) == (third["snapshot_id"], True)
    assert the_head(wiring).rows_total == 2


async def test_a_dropped_table_is_reset_to_nothing(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        await append(writer, "k1", "mon")
        with catalogs.opened(catalogs.embedded(wiring.folder / "lake")) as catalog:
            catalog.drop_table(TRIPS)
        await writer.announce_all()
        assert not list(writer.state.heads)
    [entry] = entries(wiring, TableReset)
    assert entry.subject == TRIPS


async def test_what_cannot_be_appended_is_said_to_the_caller(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        with pytest.raises(InvalidInput, match="has no key"):
            await append(writer, "", "mon")
        with pytest.raises(NotFound, match=r"no table 'lake\.none'"):
            await writer.append("lake.none", [], "k", "flights", "ann")


async def test_a_project_without_room_is_refused_by_name_and_nothing_is_committed(wiring: Wiring) -> None:
    async with living(TableWriter(wiring)) as writer:
        await append(writer, "r1/2/1", "mon")
        [size_bytes] = [body.stored["flights"] for body in committed(wiring)]
        limit(wiring, 1, size_bytes + 1, stored=size_bytes)
        with pytest.raises(Conflict, match=f"Project flights may store .*rows of table {TRIPS} of .*artifacts collect"):
            await append(writer, "r1/2/2", "tue")
        assert (await append(writer, "r1/2/1", "mon"))["already"]  # what was committed is, also where there is no room
        limit(wiring, 2, size_bytes, stored=size_bytes)
        with pytest.raises(Conflict, match="rows of table"):
            await writer.prepare(TRIPS, rows("tue").schema, "flights")
        await writer.prepare(TRIPS, rows("tue").schema, "eta")
        await writer.prepare(TRIPS, rows("mon").schema, "flights", "r1/2/1")  # a second attempt at what was done
    assert len(committed(wiring)) == 1


def limit(wiring: Wiring, version: int, limit_bytes: int, *, stored: int) -> None:
    """As the Scheduler and the Conductor write it."""
    tree = {"cohort": {"lab": {"projects": {"flights": {"storage": limit_bytes}}}}}
    row = QuotaTree(version=version, tree=tree, principal="ann", applied_us=1)
    use = StorageUse(project="flights", tables_bytes=stored)
    for owner, changes in (
        ("scheduler", {"quota_trees": {row.version: row}}),
        ("conductor", {"storage_use": {"flights": use}}),
    ):
        writer = Writer(wiring.engine(), owner)
        writer.take_epoch()
        writer.commit(changes)
        writer.close()
