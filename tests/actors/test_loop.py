"""The loop with a small machine, on a journal in memory whose faults can be chosen and on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from scenes.log import until

from headwater.actors.journal import Journal
from headwater.actors.loop import BATCH_MAX, BESIDE_MAX, FAILURES_MAX, WAITING_MAX, Loop
from headwater.core.ledger import Book, Ledger
from headwater.core.records.triggers import Timer
from headwater.core.turn import GrantGuard, Turn
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Changes, CommitFailed, Fenced, Objected, Unwritable, Writer
from headwater.wire.entries.events import CommandDone, CommandRefused
from headwater.wire.types import Entry, Said

pytestmark = pytest.mark.asyncio(loop_scope="session")


def said(word: str, body: Any = None) -> Said:
    done = body or CommandDone(command=word)
    return Said(body=done, subject=word, project="eta", principal="me", time_us=1)


class Words:
    """A machine that notes each word. `boom` raises, `grant…` asks a guard, `broken` cannot be written."""

    def __init__(self) -> None:
        self.book = Book()
        self.noted: Ledger[str, Timer] = Ledger(self.book, "timers")

    def decide(self, event: str, now_us: int) -> Turn:
        turn = self.note(event, now_us)
        if event == "boom":
            raise ValueError("boom")
        if event.startswith("grant"):
            turn.guards.append(GrantGuard(scheduler_epoch=1, tree_version=1, step_id=event, devices=(), milli=0))
        if event == "broken":
            turn.said = [said("\ud800")]
        return turn

    def note(self, event: str, now_us: int) -> Turn:
        self.noted.put(event, Timer(id=event, kind="sleep", due_us=1, run_id="r", ordinal=1))
        return Turn(now_us, said=[said(event)], effects=[f"do {event}"], answer=f"{event} noted")

    def set_aside(self, event: str, now_us: int, error: Exception) -> Turn:
        body = CommandRefused(command="c", code="engine_error", reason=type(error).__name__)
        return Turn(now_us, said=[said(event, body)], answer=error)

    def objected(self, event: str, now_us: int, reason: str) -> Turn:
        return Turn(now_us, said=[said(f"refused {event}")], answer=reason)

    def settle(self) -> None:
        self.book.settle()


class Shelf:
    """A journal in memory. `faults` are raised by the next commits, one each, and nothing of those is written."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.faults: list[Exception] = []
        self.objects_to: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, changes: Changes, said: Sequence[Said], guards: Sequence[GrantGuard]) -> list[Entry]:
        await self.gate.wait()
        for index, guard in enumerate(guards):
            if guard.step_id in self.objects_to:
                raise Objected(index, self.objects_to[guard.step_id])
        words = [word.subject for word in said]
        if "\ud800" in words:
            raise Unwritable("no text")
        if self.faults:
            raise self.faults.pop(0)
        self.commits.append(words)
        return []


class Bench:
    def __init__(self, journal: Any) -> None:
        self.machine, self.journal = Words(), journal
        self.done: list[str] = []
        self.told: list[Entry] = []
        self.foretold: list[str] = []
        self.loop = Loop(
            self.machine,
            journal,
            carry_out=self.done.extend,
            published=self.told.extend,
            foretell=self.foretold.extend,
            clock=lambda: 1,
        )


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.create_task(bench.loop.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def asked(bench: Bench, *events: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(bench.loop.ask(event)) for event in events]


async def answers(bench: Bench, *events: str) -> list[Any]:
    return await asyncio.gather(*asked(bench, *events), return_exceptions=True)


async def test_all_are_answered_before_the_first_error_is_raised() -> None:
    async with running(Bench(Shelf())) as bench:
        assert await bench.loop.ask_all(["a", "b"]) == ["a noted", "b noted"]
        with pytest.raises(ValueError, match="boom"):
            await bench.loop.ask_all(["c", "boom", "d"])
        assert bench.journal.commits[1] == ["c", "boom", "d"]


async def test_a_burst_is_one_commit() -> None:
    async with running(Bench(Shelf())) as bench:
        assert await answers(bench, "a", "b", "c") == ["a noted", "b noted", "c noted"]
        assert bench.journal.commits == [["a", "b", "c"]]
        assert bench.done == ["do a", "do b", "do c"]


async def test_a_source_brings_few_at_once_while_somebody_waits_and_none_where_too_many_wait() -> None:
    async with running(Bench(Shelf())) as bench:
        await bench.loop.ask_all(["a", "b"])
        assert bench.loop.room == BATCH_MAX
        await bench.loop.ask("c")
        assert bench.loop.room == BESIDE_MAX
    for _ in range(WAITING_MAX):
        bench.loop.tell("more")
    assert bench.loop.room == 0


async def test_nothing_is_carried_out_or_answered_before_the_commit() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.gate.clear()
        (waiting,) = asked(bench, "a")
        await asyncio.wait([waiting], timeout=0.02)
        assert (bench.done, waiting.done()) == ([], False)
        bench.journal.gate.set()
        assert await waiting == "a noted"
        await answers(bench, "b")
        assert bench.done == ["do a", "do b"]


async def test_effects_are_foretold_while_they_are_committed_and_again_where_they_are_decided_again() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.gate.clear()
        (waiting,) = asked(bench, "a")
        await until(lambda: bool(bench.foretold))
        assert (bench.foretold, bench.done, waiting.done()) == (["do a"], [], False)
        bench.journal.gate.set()
        await waiting
        bench.journal.objects_to = {"grant": "stale"}
        await answers(bench, "b", "grant")
        assert bench.foretold == ["do a", "do b", "do grant", "do b"]
        assert bench.done == ["do a", "do b"]


async def test_a_decision_that_raises_is_set_aside_alone() -> None:
    async with running(Bench(Shelf())) as bench:
        first, second, third = await answers(bench, "a", "boom", "b")
        assert (first, third) == ("a noted", "b noted")
        assert isinstance(second, ValueError)
        assert bench.journal.commits == [["a", "boom", "b"]]
        assert list(bench.machine.noted) == ["a", "b"]


async def test_an_objection_refuses_only_its_own_event() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.objects_to = {"grant2": "device_held", "grant3": "stale"}
        got = await answers(bench, "a", "grant1", "grant2", "grant3")
        assert got == ["a noted", "grant1 noted", "device_held", "stale"]
        assert bench.journal.commits == [["a", "grant1", "refused grant2", "refused grant3"]]
        assert list(bench.machine.noted) == ["a", "grant1"]
        assert bench.done == ["do a", "do grant1"]


async def test_a_commit_that_did_not_land_takes_the_machine_back_and_tells_who_asked() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.faults = [CommitFailed("disk")]
        (error,) = await answers(bench, "a")
        assert isinstance(error, CommitFailed)
        assert (list(bench.machine.noted), bench.done) == ([], [])
        assert await answers(bench, "b") == ["b noted"]
        assert bench.journal.commits == [["b"]]


async def test_what_was_told_is_decided_again_after_a_commit_that_did_not_land() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.faults = [CommitFailed("disk")]
        bench.loop.tell("a host died")
        await answers(bench, "b")
        await answers(bench, "c")
        assert [word for words in bench.journal.commits for word in words if word != "b"] == ["a host died", "c"]


async def test_a_loop_that_cannot_commit_time_and_again_ends() -> None:
    bench = Bench(Shelf())
    bench.journal.faults = [CommitFailed("disk full")] * FAILURES_MAX
    bench.loop.tell("a host died")
    with pytest.raises(CommitFailed):
        await bench.loop.run()
    assert bench.journal.commits == []


async def test_what_cannot_be_written_is_set_aside_alone() -> None:
    async with running(Bench(Shelf())) as bench:
        first, second, third = await answers(bench, "a", "broken", "b")
        assert (first, third) == ("a noted", "b noted")
        assert isinstance(second, Unwritable)
        assert bench.journal.commits == [["a"], ["broken"], ["b"]]


async def test_a_caller_who_went_away_stops_nobody() -> None:
    async with running(Bench(Shelf())) as bench:
        bench.journal.gate.clear()
        gone, stays = asked(bench, "a", "b")
        await asyncio.wait([gone], timeout=0.02)
        gone.cancel()
        bench.journal.gate.set()
        assert await stays == "b noted"
        assert bench.journal.commits == [["a", "b"]]
        assert await answers(bench, "c") == ["c noted"]


async def test_a_fenced_loop_ends() -> None:
    bench = Bench(Shelf())
    bench.journal.faults = [Fenced("taken over")]
    bench.loop.tell("a")
    with pytest.raises(Fenced):
        await bench.loop.run()
    assert bench.done == []


# On a real store.


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="one")
    return url


def a_journal(url: str) -> Journal:
    journal = Journal(Writer(open_engine(url), "conductor"))
    journal.writer.take_epoch()
    return journal


async def test_entries_are_published_as_they_stand_in_the_log(url: str) -> None:
    async with running(Bench(a_journal(url))) as bench:
        await answers(bench, "a", "b")
        await answers(bench, "c")
        reader = Reader(open_engine(url, read_only=True))
        assert bench.told == reader.entries(0)
        assert [entry.subject for entry in bench.told] == ["a", "b", "c"]
        bench.journal.close()


async def test_a_text_that_no_store_keeps_harms_only_its_own_event(url: str) -> None:
    async with running(Bench(a_journal(url))) as bench:
        first, second = await answers(bench, "a", "broken")
        assert (first, type(second)) == ("a noted", Unwritable)
        assert [entry.subject for entry in bench.told] == ["a", "broken"]
        bench.journal.close()


async def test_a_loop_whose_owner_was_taken_over_ends(url: str) -> None:
    bench = Bench(a_journal(url))
    a_journal(url).close()
    bench.loop.tell("a")
    with pytest.raises(Fenced):
        await bench.loop.run()
    bench.journal.close()


async def test_a_real_commit_whose_answer_was_lost_is_found(url: str) -> None:
    engine = open_engine(url)
    journal = Journal(Writer(engine, "conductor"))
    journal.writer.take_epoch()

    @sa.event.listens_for(engine, "commit", once=True)
    def broken(connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        raise sa.exc.OperationalError("COMMIT", {}, OSError("the answer was lost"))

    async with running(Bench(journal)) as bench:
        assert await answers(bench, "a", "b") == ["a noted", "b noted"]
        assert Reader(engine).position() == 2
        journal.close()
