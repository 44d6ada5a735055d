"""Whatever becomes of the pushes, a follower takes every entry once and in order, from a real log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.actors.follower import Follower
from headwater.actors.hub import Hub, Push
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.types import AnyBody, CommandDone, Entry, NodeLeft, Said

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOST, KEPT, TWICE, LATE = "lost", "kept", "twice", "late"
FATES = st.sampled_from([LOST, KEPT, TWICE, LATE])
STRETCHES = st.lists(st.tuples(st.integers(1, 4), FATES, st.booleans()), min_size=1, max_size=8)


class Log:
    """A real store to which `say` adds entries of two types in turn."""

    def __init__(self, folder: Path) -> None:
        url = sqlite_url(folder / "store.db")
        create(url, store_epoch="one")
        self.engine = open_engine(url)
        self.writer = Writer(self.engine, "conductor")
        self.writer.take_epoch()
        self.reader = Reader(open_engine(url, read_only=True))

    def say(self, count: int) -> list[Entry]:
        bodies: list[AnyBody] = [CommandDone(command="c"), NodeLeft(node="n", reason="x")]
        words = [
            Said(body=body, subject="s", project="eta", principal="me", time_us=1)
            for body in itertools.islice(itertools.cycle(bodies), count)
        ]
        return self.writer.commit({}, words)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.engine.dispose()


class Taken:
    """What a follower hands over, checked to be contiguous as it comes."""

    def __init__(self, start: int) -> None:
        self.start = self.upto = start
        self.entries: list[Entry] = []

    def take(self, entries: list[Entry], upto: int) -> None:
        assert all(self.upto < entry.position <= upto for entry in entries)
        self.upto = upto
        self.entries += entries


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


# The hub.


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stretches=STRETCHES, attached=st.integers(0, 8))
async def test_the_hub_pushes_contiguous_stretches_to_each(
    log: Log, stretches: list[tuple[int, str, bool]], attached: int
) -> None:
    """Others commit in between and are told of, late or never; a filtered follower sees no hole of its own."""
    start = log.reader.position()
    hub = Hub(log.reader, start)
    everything, nodes, late = Taken(start), Taken(start), Taken(start)
    hub.attach("all", None, pushed(everything))
    hub.attach("nodes", frozenset({"node.left"}), pushed(nodes))
    for index, (count, fate, notices) in enumerate(stretches):
        if index == attached:
            late = Taken(hub.cursor)
            hub.attach("late", None, pushed(late))
        entries = log.say(count)
        for _ in range({KEPT: 1, TWICE: 2}.get(fate, 0)):
            hub.committed(entries)
        if notices:
            hub.notice(entries[-1].position)
            await hub._log.catch_up()
    await hub._log.catch_up()
    whole = log.reader.entries(start)
    assert everything.entries == whole
    assert nodes.entries == [entry for entry in whole if entry.type == "node.left"]
    if attached < len(stretches):
        assert late.entries == [entry for entry in whole if entry.position > late.start]


def pushed(taken: Taken) -> Push:
    def push(after: int, upto: int, entries: list[Entry]) -> None:
        assert after == taken.upto
        taken.take(entries, upto)

    return push


async def test_nothing_is_pushed_to_who_left(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    hub.detach("all")
    hub.committed(log.say(1))
    assert (taken.entries, hub.cursor) == ([], 1)


async def test_a_notice_of_what_was_seen_already_reads_nothing(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    hub.committed(log.say(2))
    hub.notice(2)
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    running.cancel()
    assert [entry.position for entry in taken.entries] == [1, 2]


async def test_a_notice_makes_the_hub_read(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    running = asyncio.create_task(hub.run())
    log.say(2)
    hub.notice(2)
    await until(lambda: hub.cursor == 2)
    assert [entry.position for entry in taken.entries] == [1, 2]
    running.cancel()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
