"""What a resumed run and a cached step find in the rows, as long as its artifact is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes.conductor import a_step, command
from scenes.store import Story, a_run, run_id

from headwater.actors.earlier import Earlier, done_earlier
from headwater.actors.kept_results import KeptResults
from headwater.artifacts.files import Files
from headwater.core.conductor.messages import LookedUp, LookUp
from headwater.core.conductor.runs.caching import cache_key
from headwater.core.conductor.runs.nesting import key_of_child
from headwater.core.records.runs import CommandRow, Pin, Run
from headwater.core.records.steps import CacheEntry
from headwater.store.engine import open_engine, sqlite_url
from headwater.store.inbox import pin_before, steps_named
from headwater.store.reader import Reader
from headwater.wire import calls
from headwater.wire.terms import Failure

RESUMED = a_run(9, resumed_from=run_id(2))


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    one = Story(tmp_path)
    one.put("runs", a_run(1, state="FAILED"))
    one.put("runs", a_run(2, state="FAILED", resumed_from=run_id(1)))
    yield one
    one.close()


@pytest.fixture
def reader(story: Story) -> Iterator[Reader]:
    engine = story.reader()
    yield Reader(engine)
    engine.dispose()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "artifacts")


def recorded(story: Story, number: int, asked: calls.Command, **outcome: Any) -> None:
    row = CommandRow(
        run_id=run_id(number), ordinal=asked.ordinal, kind=asked.kind, name=asked.name, key=asked.key, command=asked,
        outcome=calls.Outcome(**outcome), issued_us=1,
    )  # fmt: skip
    story.put("commands", row)


def earlier(reader: Reader, files: Files, run: Run, *asked: calls.Command) -> Earlier:
    return done_earlier(reader, files, run, asked, lambda ordinal: None)


def test_runs_that_resumed_one_another_are_looked_through_the_nearest_first(
    story: Story, reader: Reader, files: Files
) -> None:
    recorded(story, 1, a_step(0), payload=calls.Payload(inline=b"old"))
    recorded(story, 1, a_step(1), payload=calls.Payload(inline=b"older"))
    recorded(story, 2, a_step(0), payload=calls.Payload(inline=b"new"))
    found = earlier(reader, files, RESUMED, a_step(0), a_step(1))
    assert [row.outcome.payload.inline for row in found.rows if row.outcome and row.outcome.payload] == [
        b"new", b"old", b"older",
    ]  # fmt: skip


def test_a_result_whose_artifact_was_collected_is_none(story: Story, reader: Reader, files: Files) -> None:
    there = files.put_bytes(b"x")
    recorded(story, 2, a_step(0), payload=calls.Payload(digest=there))
    recorded(story, 2, a_step(1), payload=calls.Payload(digest="0" * 64))
    assert [row.ordinal for row in earlier(reader, files, RESUMED, a_step(0), a_step(1)).rows] == [0]


def test_the_run_inside_that_answered_a_call_is_found(story: Story, reader: Reader, files: Files) -> None:
    asked = command(3, calls.RunCall(project="eta", flow="train"))
    recorded(story, 2, asked, failure=Failure(kind="exception", message="boom"))
    child = a_run(5, state="FAILED", parent_id=run_id(2), idempotency_key=key_of_child(run_id(2), 3))
    story.put("runs", child)
    assert earlier(reader, files, RESUMED, asked).children == {(run_id(2), 3): child.id}


def test_a_cached_result_that_feeds_another_is_found_in_the_same_look(
    story: Story, reader: Reader, files: Files
) -> None:
    first, second = (_cached(n, *needs) for n, needs in ((0, ()), (1, (0,))))
    given = {0: calls.Payload(inline=b"monday")}
    keys = [cache_key("eta", each, given.get) for each in (first, second)]
    for key, text in zip(keys, (b"monday", b"m"), strict=True):
        entry = CacheEntry(key=key, project="eta", step_id="s", payload=calls.Payload(inline=text), created_us=1)
        story.put("step_cache", entry)
    assert set(earlier(reader, files, a_run(1), first, second).cached) == set(keys)


@pytest.mark.asyncio(loop_scope="session")
async def test_steps_that_wait_hear_what_is_kept_for_each_and_run_where_nobody_can_say(
    story: Story, reader: Reader, files: Files
) -> None:
    entry = CacheEntry(key="k1", project="eta", step_id="s", payload=calls.Payload(inline=b"7"), created_us=1)
    gone = CacheEntry(key="k3", project="eta", step_id="s", payload=calls.Payload(digest="0" * 64), created_us=1)
    story.put("step_cache", entry)
    story.put("step_cache", gone)
    heard: asyncio.Queue[LookedUp] = asyncio.Queue()
    wanted = [LookUp(f"r/{number}", f"k{number}") for number in (1, 2, 3)]
    KeptResults(reader, files, heard.put_nowait).look_up(wanted)
    assert [await heard.get() for _ in wanted] == [LookedUp("r/1", entry), LookedUp("r/2", None), LookedUp("r/3", None)]
    nobody = Reader(open_engine(sqlite_url(Path("/nowhere/store.db")), read_only=True))
    KeptResults(nobody, files, heard.put_nowait).look_up(wanted[:1])
    assert await heard.get() == LookedUp("r/1", None)


def _cached(ordinal: int, *needs: int) -> calls.Command:
    step = a_step(ordinal, *needs, cache=True, code_digest="c")
    return calls.Command(ordinal=ordinal, name="fit", key=step.key, call=step.call, digest="d")


def test_what_the_runs_before_saw_of_a_table_is_told(story: Story, reader: Reader) -> None:
    story.put("pins", Pin(run_id=run_id(1), kind="table", name="lake.x", body={"snapshot_id": 1}, pinned_us=1))
    assert pin_before(reader, run_id(2), "table", "lake.x") == {"snapshot_id": 1}
    assert pin_before(reader, run_id(2), "model", "lake.x") is None


def test_a_step_is_named_by_its_name_or_its_key(story: Story, reader: Reader) -> None:
    recorded(story, 2, a_step(0))
    assert steps_named(reader, run_id(2), "fit#0") == ("fit", "fit#0")
    assert steps_named(reader, run_id(2), "gone") == ("fit",)
