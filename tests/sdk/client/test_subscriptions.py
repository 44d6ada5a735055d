"""Subscriptions by project, flow and state; callbacks; cursors that outlive clients, servers and stores."""

from __future__ import annotations

import asyncio
import queue
from pathlib import Path
from typing import Any

import pytest
from scenes.store import a_run, accepted, run_id, started, succeeded
from scenes.web import TOKEN, Scene, a_scene, listening

from headwater.errors import Conflict, InvalidInput, Unavailable
from headwater.sdk import AsyncClient, Client
from headwater.wire.entries.runs import RunCancelled, RunFailed, RunNeedsAttention, RunStarted
from headwater.wire.terms import Failure
from headwater.wire.types import Entry

pytestmark = pytest.mark.asyncio(loop_scope="session")
FAILURE = Failure(kind="exception", message="no")
ENDS: list[Any] = [
    succeeded(),
    RunFailed(flow="train_delay", duration_us=1, failure=FAILURE),
    RunCancelled(flow="train_delay", duration_us=1),
    RunNeedsAttention(flow="train_delay", failure=FAILURE),
]


def other_flow(scene: Scene, number: int) -> str:
    scene.story.put("runs", a_run(number, flow="clean"))
    return run_id(number)


async def taken(watch: Any, count: int) -> list[Entry]:
    return [await anext(watch) for _ in range(count)]


@pytest.mark.parametrize("since", [None, "e1:0"])
async def test_a_flow_is_watched_apart_live_and_from_the_past(tmp_path: Path, since: str | None) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        other = other_flow(scene, 2)
        watch = AsyncClient(url, TOKEN).watch(flow="train_delay", since=since or "e1:0")
        if since is not None:
            scene.tell(RunStarted(flow="clean", host="h"), run=other)
            scene.tell(accepted(), started(), succeeded(), run=run_id(1))
            first = await taken(watch, 3)
        else:
            joined = asyncio.ensure_future(taken(watch, 3))
            while not scene.hub.subscribers:
                await asyncio.sleep(0)
            scene.tell(RunStarted(flow="clean", host="h"), run=other)
            scene.tell(accepted(), started(), succeeded(), run=run_id(1))
            first = await joined
        assert {entry.run_id for entry in first} == {run_id(1)}
        assert [entry.seq for entry in first] == [1, 2, 3]


async def test_an_entry_that_names_no_flow_is_found_by_its_run(tmp_path: Path) -> None:
    """Of a run that began before the hub: its steps do not say what flow they are of."""
    from headwater.wire.entries.steps import StepHeld

    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        other = other_flow(scene, 2)
        joined = asyncio.ensure_future(taken(AsyncClient(url, TOKEN).watch(flow="train_delay", since="e1:0"), 1))
        while not scene.hub.subscribers:
            await asyncio.sleep(0)
        for run in (other, run_id(1)):
            scene.tell(StepHeld(step_id=f"{run}/0", name="fit", code="lent", reason="x"), run=run)
        assert [entry.run_id for entry in await joined] == [run_id(1)]


async def test_every_end_of_a_run_can_be_watched_for(tmp_path: Path) -> None:
    states = ["SUCCEEDED", "FAILED", "CANCELLED", "NEEDS_ATTENTION"]
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        for number, end in enumerate(ENDS, start=1):
            scene.story.put("runs", a_run(number))
            scene.tell(accepted(), started(), end, run=run_id(number))
        client = AsyncClient(url, TOKEN)
        told = await taken(client.watch(state=states, since="e1:0"), 4)
        assert [entry.type for entry in told] == [f"run.{state.lower()}" for state in states]
        only = await taken(client.watch(state="CANCELLED", since="e1:0"), 1)
        assert only[0].run_id == run_id(3)
        for number, state in enumerate(states, start=1):
            assert [entry.seq async for entry in client.runs[run_id(number)].watch()] == [1, 2, 3], state


async def test_a_state_that_is_none_is_refused_with_the_nearest(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        with pytest.raises(InvalidInput, match=r"'FALED' is no state of a run.*FAILED"):
            await taken(AsyncClient(url, TOKEN).watch(state="FALED", since="e1:0"), 1)


async def test_callbacks_come_in_order_and_a_new_client_goes_on_at_the_cursor(tmp_path: Path) -> None:
    heard: queue.SimpleQueue[Entry] = queue.SimpleQueue()
    async with a_scene(tmp_path) as scene:
        scene.story.put("runs", a_run(1))
        async with listening(scene.app) as url:
            client = await asyncio.to_thread(Client, url, TOKEN)
            first = await asyncio.to_thread(client.on_change, heard.put, project="eta")
            scene.tell(accepted(), started(), run=run_id(1))
            before = [await asyncio.to_thread(heard.get) for _ in range(2)]
            while first.cursor != "e1:2":
                await asyncio.sleep(0)
            first.close()
            client.close()
            scene.tell(started(), run=run_id(1))
        async with listening(scene.app) as url:
            later = await asyncio.to_thread(Client, url, TOKEN)
            with await asyncio.to_thread(lambda: later.on_change(heard.put, project="eta", since=first.cursor)):
                scene.tell(succeeded(), run=run_id(1))
                after = [await asyncio.to_thread(heard.get) for _ in range(2)]
            later.close()
    assert [entry.position for entry in before + after] == [1, 2, 3, 4]


async def test_a_callback_that_raises_ends_its_subscription_and_waiting_raises_it(tmp_path: Path) -> None:
    def refuse(entry: Entry) -> None:
        raise ZeroDivisionError(entry.type)

    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=run_id(1))
        subscription = await asyncio.to_thread(Client(url, TOKEN).runs[run_id(1)].on_change, refuse)
        with pytest.raises(ZeroDivisionError, match=r"run\.accepted"):
            await asyncio.to_thread(subscription.wait, 60)


async def test_waiting_ends_with_the_run(tmp_path: Path) -> None:
    seqs: list[int | None] = []
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), succeeded(), run=run_id(1))
        run = Client(url, TOKEN).runs[run_id(1)]
        subscription = await asyncio.to_thread(run.on_change, lambda entry: seqs.append(entry.seq))
        await asyncio.to_thread(subscription.wait, 60)
    assert seqs == [1, 2]
    assert subscription.cursor == "e1:2"


async def test_a_cursor_of_another_life_of_the_store_says_so(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        with Client(url, TOKEN) as client:
            subscription = await asyncio.to_thread(lambda: client.on_change(print, since="e0:7"))
        with pytest.raises(Conflict, match="restored or made anew"):
            await asyncio.to_thread(subscription.wait, 60)


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_an_async_client_calls_back_in_a_task_until_the_run_has_ended(tmp_path: Path, is_awaited: bool) -> None:
    heard: list[int] = []

    def take(entry: Entry) -> None:
        heard.append(entry.position)

    async def take_later(entry: Entry) -> None:
        await asyncio.sleep(0)
        heard.append(entry.position)

    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        run = AsyncClient(url, TOKEN).runs[run_id(1)]
        subscription = run.on_change(take_later if is_awaited else take)
        scene.tell(accepted(), started(), succeeded(), run=run_id(1))
        await subscription.wait(30)
        assert (heard, subscription.cursor) == ([1, 2, 3], "e1:3")


async def test_an_async_callback_that_raises_ends_its_subscription_and_a_closed_one_is_silent(tmp_path: Path) -> None:
    heard: list[int] = []

    def refuse(entry: Entry) -> None:
        raise KeyError(entry.position)

    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        client = AsyncClient(url, TOKEN)
        broken = client.on_change(refuse, project="eta", since="e1:0")
        closed = client.on_change(lambda entry: heard.append(entry.position), project="eta", since="e1:0")
        await closed.close()
        scene.tell(started(), run=run_id(1))
        with pytest.raises(KeyError, match="1"):
            await broken.wait(30)
        await closed.wait(1)
        async with client.on_change(lambda _: None, project="eta", since="e1:0") as waiting:
            with pytest.raises(Unavailable, match="has not ended within"):
                await waiting.wait(0.01)
        assert (heard, broken.cursor) == ([], "e1:0")
