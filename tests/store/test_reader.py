"""The store read back: pictures, pages of the log, what was taken in before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from headwater.core.records.inbox import InboxRow
from headwater.core.records.runs import Run, RunState
from headwater.errors import Unavailable
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.inbox import known_inbox, run_of_key
from headwater.store.reader import Reader
from headwater.store.schema import RUNS
from headwater.store.writer import Writer
from headwater.wire.entries.events import CommandRefused
from headwater.wire.envelope import Event, Reason, Rejected
from headwater.wire.terms import JSON
from headwater.wire.types import Said


@pytest.fixture
def writer(engine: sa.Engine) -> Writer:
    writer = Writer(engine, "conductor")
    writer.take_epoch()
    return writer


def said(count: int) -> list[Said]:
    body = CommandRefused(command="c", code="x", reason="why")
    return [Said(body=body, subject="s", project="eta", principal="me", time_us=1)] * count


def test_the_log_is_read_in_pages(engine: sa.Engine, writer: Writer) -> None:
    writer.commit({}, said(5))
    reader = Reader(engine)
    assert [entry.position for entry in reader.entries(1, limit=2)] == [2, 3]
    assert [entry.position for entry in reader.entries(1, upto=3)] == [2, 3]
    assert reader.entries(5) == []


def test_a_type_that_this_version_does_not_know_is_passed_over(engine: sa.Engine, writer: Writer) -> None:
    writer.commit({}, said(3))
    with engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE log SET body = '{"type":"from.tomorrow"}' WHERE position = 2""")
    assert [entry.position for entry in Reader(engine).entries(0)] == [1, 3]


def test_a_picture_and_its_position_belong_together(engine: sa.Engine, writer: Writer) -> None:
    reader = open_engine(str(engine.url), read_only=True)
    with Reader(reader).picture() as picture:
        assert picture.position == 0
        writer.commit({"runs": {"r": a_run()}}, said(1))
        assert picture.rows("runs") == []
    with Reader(reader).picture() as picture:
        assert (picture.position, picture.rows("runs")) == (1, [a_run()])
    reader.dispose()


def test_many_rows_come_as_the_driver_has_them(engine: sa.Engine, writer: Writer) -> None:
    writer.commit({"runs": {"r": a_run()}})
    with Reader(engine).picture() as picture, picture.driven(sa.select(RUNS.c.id, RUNS.c.state, RUNS.c.labels)) as rows:
        assert list(rows) == [("r", str(a_run().state), "{}")]


def test_a_driver_that_fails_while_rows_are_read_is_a_database_that_does_not_answer(engine: sa.Engine) -> None:
    with pytest.raises(Unavailable), Reader(engine).picture() as picture, picture.driven(sa.select(RUNS.c.id)):
        raise engine.dialect.loaded_dbapi.OperationalError("disk I/O error")


def a_run() -> Run:
    return Run(
        id="r", project="eta", flow="f", code_version="v", idempotency_key="k", principal="p", root_id="r", created_us=1
    )


def test_a_run_is_found_by_its_key(engine: sa.Engine, writer: Writer) -> None:
    writer.commit({"runs": {"r": a_run()}})
    assert run_of_key(Reader(engine), "k") == "r"
    assert run_of_key(Reader(engine), "other") is None


@pytest.mark.asyncio(loop_scope="session")
async def test_what_was_taken_in_is_known_however_many_are_asked_for(engine: sa.Engine, writer: Writer) -> None:
    rows = {("conductor", "s", f"e{n}"): inbox_row(f"e{n}") for n in range(900)}
    writer.commit({"inbox": {**rows, ("scheduler", "s", "e9999"): inbox_row("e9999", owner="scheduler")}})
    asked = [Event(id=f"e{n}", source="s", type="t") for n in (*range(0, 900, 2), 9999)]
    found = await known_inbox(Reader(engine), "conductor", [*asked, Rejected(Reason.INVALID_JSON, "no"), ("s", "e1")])
    assert set(found) == {("s", f"e{n}") for n in (1, *range(0, 900, 2))}
    assert found["s", "e4"] == rows["conductor", "s", "e4"]
    assert await known_inbox(Reader(engine), "conductor", []) == {}


@pytest.mark.asyncio(loop_scope="session")
async def test_what_is_asked_for_is_sought_by_its_key_and_not_among_all(tmp_path: Path) -> None:
    create(sqlite_url(tmp_path / "store.db"), store_epoch="s")
    engine = open_engine(sqlite_url(tmp_path / "store.db"))
    plans: list[str] = []

    def explained(connection: sa.Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "inbox" in statement:
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in plan)

    sa.event.listen(engine, "before_cursor_execute", explained)
    await known_inbox(Reader(engine), "conductor", [("s", "e1"), ("s", "e2")])
    engine.dispose()
    assert [plan for plan in plans if "(owner=? AND source=? AND id=?)" in plan]


def inbox_row(id_: str, owner: str = "conductor") -> InboxRow:
    return InboxRow(
        owner=owner, source="s", id=id_, sha256="x", type="t", project="eta", principal="p", received_us=1, outcome=[]
    )


class Briefly(msgspec.Struct, frozen=True):
    id: str
    state: RunState
    parameters: JSON


def test_parts_of_rows_are_read_as_the_struct_says(engine: sa.Engine, writer: Writer) -> None:
    for name in ("b", "a"):
        run = msgspec.structs.replace(a_run(), id=name, idempotency_key=name, parameters={"n": [1]})
        writer.commit({"runs": {name: run}})
    with Reader(engine).picture() as picture:
        found = picture.parts("runs", Briefly)
        assert found == [Briefly(name, RunState.PENDING, {"n": [1]}) for name in ("a", "b")]
        assert picture.parts("runs", Briefly, RUNS.c.id == "b") == found[1:]
