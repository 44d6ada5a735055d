"""Blocking work on a thread of its own, in the order it was asked for."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from headwater.actors.journal import Journal
from headwater.core.records.inbox import Offset
from headwater.core.turn import GrantGuard
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import CommitFailed, Objected, Writer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="one")
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def journal(engine: sa.Engine) -> Iterator[Journal]:
    journal = Journal(Writer(engine, "conductor"))
    yield journal
    journal.close()


async def test_work_is_done_in_order_on_one_thread(journal: Journal) -> None:
    done: list[tuple[int, str]] = []

    def work(number: int) -> int:
        done.append((number, threading.current_thread().name))
        return number

    got = await asyncio.gather(*(journal.do(functools.partial(work, number)) for number in range(20)))
    assert got == list(range(20))
    assert done == [(number, "commits") for number in range(20)]


async def test_an_error_goes_to_who_asked_and_the_next_is_done(journal: Journal) -> None:
    def fail() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        await journal.do(fail)
    assert await journal.do(lambda: 7) == 7


async def test_a_caller_who_went_away_leaves_the_work_done(journal: Journal) -> None:
    started, go, done = threading.Event(), threading.Event(), list[int]()

    def work() -> None:
        started.set()
        go.wait(10)
        done.append(1)

    task = asyncio.create_task(journal.do(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    await journal.do(lambda: None)
    assert done == [1]


async def test_guards_are_asked_inside_the_transaction(journal: Journal) -> None:
    await journal.do(journal.writer.take_epoch)
    guard = GrantGuard(scheduler_epoch=7, tree_version=1, step_id="r/0", devices=(), milli=0)
    with pytest.raises(Objected, match="scheduler_epoch"):
        await journal.commit({}, [], [guard])
    assert not await journal.do(journal.writer.landed)


async def test_a_doubt_is_settled_before_the_next_is_written(journal: Journal, engine: sa.Engine) -> None:
    """The first landed and its answer was lost; the second did not land: each is told apart."""
    await journal.take_epoch()
    fates = iter(("answer lost", "settled", "not landed"))

    @sa.event.listens_for(engine, "commit")
    def broken(connection: sa.Connection) -> None:
        fate = next(fates, "settled")
        if fate == "answer lost":
            connection.exec_driver_sql("COMMIT")
        if fate != "settled":
            raise sa.exc.OperationalError("COMMIT", {}, OSError("the answer was lost"))

    rows = [Offset(owner="conductor", topic=topic, partition=0, next=1) for topic in ("a", "b")]
    both = [journal.commit({"offsets": {("conductor", row.topic, 0): row}}, [], []) for row in rows]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert first == []
    assert isinstance(second, CommitFailed)
    with Reader(engine).picture() as picture:
        assert picture.rows("offsets") == rows[:1]


async def test_a_closed_journal_has_finished_what_it_was_given(journal: Journal) -> None:
    done: list[int] = []
    task = asyncio.create_task(journal.do(lambda: done.append(1)))
    await task
    journal.close()
    assert done == [1]
