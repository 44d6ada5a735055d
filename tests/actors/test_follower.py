"""Whatever becomes of the pushes, a follower takes every entry once and in order, from a real log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from scenes.log import KEPT, LATE, STRETCHES, TWICE, Log, Taken, until

from headwater.actors.follower import Follower
from headwater.wire.types import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.engine.dispose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stretches=STRETCHES)
async def test_pushes_may_be_lost_doubled_or_late(log: Log, stretches: list[tuple[int, str, bool]]) -> None:
    start = log.reader.position()
    taken, late = Taken(start), list[list[Entry]]()
    follower = Follower(log.reader, start, taken.take)
    for count, fate, catches_up in stretches:
        entries = log.say(count)
        pushes = [entries] * {KEPT: 1, TWICE: 2}.get(fate, 0)
        late += [entries] if fate == LATE else []
        for push in pushes:
            follower.offer(push[0].position - 1, push[-1].position, push)
        if catches_up:
            await follower.catch_up()
    for push in reversed(late):
        follower.offer(push[0].position - 1, push[-1].position, push)
    await follower.catch_up()
    assert taken.entries == log.reader.entries(start)
    assert follower.cursor == log.reader.position()


async def test_a_push_during_a_read_is_taken_once(log: Log) -> None:
    taken = Taken(0)
    follower = Follower(log.reader, 0, taken.take)
    entries = log.say(3)
    reading = asyncio.create_task(follower.catch_up())
    while not reading.done():
        follower.offer(0, 3, entries)
        await asyncio.sleep(0)
    assert taken.entries == entries


async def test_a_push_that_leaves_a_hole_makes_the_follower_read(log: Log) -> None:
    taken = Taken(0)
    follower = Follower(log.reader, 0, taken.take, tick_s=60)
    log.say(2)
    running = asyncio.create_task(follower.run())
    last = log.say(2)
    follower.offer(2, 4, last)
    await until(lambda: follower.cursor == 4)
    assert taken.entries == log.reader.entries(0)
    running.cancel()


async def test_a_slow_tick_covers_a_push_that_was_lost(log: Log) -> None:
    taken = Taken(0)
    follower = Follower(log.reader, 0, taken.take, tick_s=0.01)
    running = asyncio.create_task(follower.run())
    log.say(2)
    await until(lambda: follower.cursor == 2)
    assert [entry.position for entry in taken.entries] == [1, 2]
    running.cancel()


async def test_more_than_a_page_is_read_to_the_end(log: Log) -> None:
    taken = Taken(0)
    for _ in range(3):
        log.say(700)
    await Follower(log.reader, 0, taken.take).catch_up()
    assert [entry.position for entry in taken.entries] == list(range(1, 2101))
