"""The hub pushes the log to each follower: contiguous, in order, and only what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes.log import KEPT, STRETCHES, TWICE, Log, Taken, until

from headwater.actors.hub import GPU_POOL_TYPES, Hub, Push
from headwater.wire.entries.steps import StepLeased, StepSucceeded, StepWaiting
from headwater.wire.terms import Demand
from headwater.wire.types import AnyBody, Entry, Said

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.engine.dispose()


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
            hub.committed(entries[-1:])
            await hub.catch_up()
    await hub.catch_up()
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


async def test_what_was_seen_already_is_not_taken_again(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    entries = log.say(2)
    hub.committed(entries)
    hub.committed(entries[-1:])
    running = asyncio.create_task(hub.run())
    await asyncio.sleep(0)
    running.cancel()
    assert [entry.position for entry in taken.entries] == [1, 2]


async def test_the_last_of_what_was_committed_makes_the_hub_read_the_rest(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    running = asyncio.create_task(hub.run())
    hub.committed(log.say(2)[-1:])
    await until(lambda: hub.cursor == 2)
    assert [entry.position for entry in taken.entries] == [1, 2]
    running.cancel()


async def test_followers_that_only_tell_hear_a_moment_later_all_that_was_said(log: Log) -> None:
    hub, first, later, told = Hub(log.reader, 0), Taken(0), Taken(0), asyncio.Event()

    def push(after: int, upto: int, entries: list[Entry]) -> None:
        pushed(later)(after, upto, entries)
        told.set()

    hub.attach("first", None, pushed(first))
    hub.attach("later", None, push, at_once=False)
    hub.committed(log.say(1))
    hub.committed(log.say(2))
    assert [len(first.entries), len(later.entries)] == [3, 0]
    await told.wait()
    assert later.entries == first.entries


async def test_followers_that_only_tell_hear_at_once_unless_they_were_told_just_now(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.actors.hub.LINGER_S", 60.0)
    hub, later = Hub(log.reader, 0), Taken(0)
    hub.attach("later", None, pushed(later), at_once=False)
    hub.committed(log.say(1))
    await asyncio.sleep(0)
    assert len(later.entries) == 1
    hub.committed(log.say(1))
    await asyncio.sleep(0)
    assert len(later.entries) == 1


async def test_who_comes_while_word_is_held_back_is_told_what_came_after(log: Log) -> None:
    hub, late, told = Hub(log.reader, 0), Taken(1), asyncio.Event()

    def push(after: int, upto: int, entries: list[Entry]) -> None:
        pushed(late)(after, upto, entries)
        told.set()

    hub.attach("later", None, lambda after, upto, entries: None, at_once=False)
    hub.committed(log.say(1))
    hub.attach("late", None, push, at_once=False)
    hub.committed(log.say(1))
    await told.wait()
    assert [entry.position for entry in late.entries] == [2]


def words_of(*bodies: AnyBody) -> list[Said]:
    return [Said(body=body, subject="run", project="eta", principal="me", time_us=1) for body in bodies]


WAITING = StepWaiting(step_id="run/1", name="fit", ordinal=1, priority=0, demand=Demand(), since_us=1)
LEASED = StepLeased(step_id="run/1", name="fit", attempt=1, fence=7, node="n1", devices=(), demand=Demand(), place=3)
KEPT_PLACE = StepSucceeded(step_id="run/1", name="fit", attempt=1, fence=7, duration_us=5, kept=True)


async def test_what_a_run_says_as_it_goes_on_under_its_place_is_told_with_what_comes_next(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    hub.committed(log.writer.commit({}, words_of(WAITING, LEASED)))
    hub.committed(log.writer.commit({}, words_of(KEPT_PLACE)))
    assert taken.entries == []
    hub.committed(log.say(1))
    assert [entry.position for entry in taken.entries] == [1, 2, 3, 4]


async def test_what_a_run_says_as_it_goes_on_is_told_in_a_while_where_nothing_comes(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    hub.committed(log.writer.commit({}, words_of(WAITING, LEASED)))
    await until(lambda: bool(taken.entries))
    assert [entry.position for entry in taken.entries] == [1, 2]


@pytest.mark.parametrize("said", [(WAITING,), (LEASED,), (msgspec.structs.replace(KEPT_PLACE, kept=False),)])
async def test_what_may_let_somebody_go_is_told_at_once(log: Log, said: tuple[AnyBody, ...]) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("all", None, pushed(taken))
    hub.committed(log.writer.commit({}, words_of(*said)))
    assert [entry.position for entry in taken.entries] == [1]


async def test_the_gpu_pool_hears_of_ends_that_leave_devices(log: Log) -> None:
    hub, taken = Hub(log.reader, 0), Taken(0)
    hub.attach("gpu_pool", GPU_POOL_TYPES, pushed(taken))
    with_device = msgspec.structs.replace(KEPT_PLACE, kept=False, devices=("n1/0",))
    hub.committed(log.writer.commit({}, words_of(msgspec.structs.replace(KEPT_PLACE, kept=False), with_device)))
    assert [entry.position for entry in taken.entries] == [2]
