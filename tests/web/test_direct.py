"""Subscribers who are written to directly, on a real server: the same entries, in the same order, and a bound."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from scenes.store import run_id
from scenes.web import TOKEN, Scene, a_scene, listening

from headwater.wire.entries.events import CommandRefused
from headwater.wire.entries.runs import RunAccepted

pytestmark = pytest.mark.asyncio(loop_scope="session")
IDS = re.compile(rb"^id: \w+:(\d+)$", re.MULTILINE)


def accepted(note: str = "") -> RunAccepted:
    return RunAccepted(flow="train", code_version="v", trigger="call", parameters={"note": note})


@asynccontextmanager
async def subscribed(url: str, query: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """An open subscription, of which `joined` has been read."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(f"GET /v1/watch{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    await reader.readuntil(b"event: joined\ndata: {}\n\n\r\n")
    try:
        yield reader
    finally:
        writer.close()


async def positions(reader: asyncio.StreamReader, upto: int) -> list[int]:
    """The positions that were sent, until `upto` has come, each chunk as long as it says."""
    found: list[int] = []
    async with asyncio.timeout(60):
        while not found or found[-1] < upto:
            size = int(await reader.readline(), 16)
            body = await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
            found += map(int, IDS.findall(body))
    return found


async def idle(scene: Scene, count: int) -> None:
    """Until so many streams have nothing left to send."""
    async with asyncio.timeout(60):
        while (
            sum(seat.is_idle and not seat.bell.is_set() for room in scene.hub._rooms.values() for seat in room) < count
        ):
            await asyncio.sleep(0.001)


async def test_what_comes_while_a_stream_is_idle_goes_out_at_once_and_wakes_nobody(tmp_path: Path) -> None:
    async with (
        a_scene(tmp_path) as scene,
        listening(scene.app) as url,
        subscribed(url) as one,
        subscribed(url) as other,
    ):
        await idle(scene, 2)
        scene.tell(accepted(), accepted(), run=run_id(1))
        (room,) = scene.hub._rooms.values()
        assert [(seat.bell.is_set(), seat.subscription.delivered) for seat in room] == [(False, 2)] * 2
        assert await positions(one, 2) == await positions(other, 2) == [1, 2]


async def test_whichever_way_an_entry_goes_all_come_in_order(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url, subscribed(url) as reader:
        for number in range(30):
            if number % 3:
                await idle(scene, 1)
            else:
                for room in scene.hub._rooms.values():
                    for seat in room:
                        seat.bell.set()  # its stream has been woken: what comes waits for it
            scene.tell(accepted(), run=run_id(number))
        assert await positions(reader, 30) == list(range(1, 31))


async def test_each_is_sent_only_what_it_wants(tmp_path: Path) -> None:
    async with (
        a_scene(tmp_path) as scene,
        listening(scene.app) as url,
        subscribed(url, "?project=eta") as eta,
        subscribed(url, "?project=other") as other,
    ):
        await idle(scene, 2)
        for project in ("eta", "other", "eta"):
            scene.tell(CommandRefused(command="c", code="x", reason="y"), project=project)
        assert await positions(eta, 3) == [1, 3]
        assert await positions(other, 2) == [2]


async def test_a_client_that_does_not_read_is_cut_and_holds_up_nobody(tmp_path: Path) -> None:
    async with (
        a_scene(tmp_path, buffer_max=20) as scene,
        listening(scene.app) as url,
        subscribed(url),
        subscribed(url) as reads,
    ):
        await idle(scene, 2)
        (room,) = scene.hub._rooms.values()
        told, heard = 0, [0]
        while not any(seat.subscription.is_cut for seat in room):
            told += 1
            assert told < 1_000
            scene.tell(accepted("x" * 200_000), run=run_id(told))
            heard += await positions(reads, told)
        assert heard == list(range(told + 1))
