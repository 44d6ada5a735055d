"""Orders that go ahead of their leases, over a real line."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from headwater.actors.foretold import Foretold
from headwater.actors.lines.line import Line
from headwater.actors.lines.switchboard import Switchboard
from headwater.errors import Unavailable
from headwater.wire.calls import AttemptOrder, GangSeat, Payload, Report

_found = importlib.util.spec_from_file_location("foretold_desk", Path(__file__).with_name("desk.py"))
assert _found is not None
assert _found.loader is not None
desk = importlib.util.module_from_spec(_found)
_found.loader.exec_module(desk)

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Hand:
    """A worker's end: what it was told, and an answer once it is let go."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()
        self.let_go = asyncio.Event()

    async def prepare(self, orders: list[AttemptOrder]) -> list[Report]:
        self.told.put_nowait(("prepare", orders))
        await self.let_go.wait()
        return []

    async def leased(self, fences: list[int]) -> None:
        self.told.put_nowait(("leased", fences))
        self.let_go.set()

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        return ""


@pytest_asyncio.fixture(loop_scope="session")
async def hand() -> AsyncIterator[tuple[Hand, Line]]:
    hand = Hand()
    switchboard = Switchboard(hand, lambda: b"s" * 32)
    line = Line("worker", switchboard.address, b"s" * 32)
    await line.call("claim", 1, "w1", "")
    yield hand, line
    hand.let_go.set()
    for _ in range(10):  # what still waits ends
        await asyncio.sleep(0)
    line.close()
    switchboard.close()


def order(**more: Any) -> AttemptOrder:
    made: AttemptOrder = desk.attempt("b" * 64, "steps:add", 1, 2, **more)
    return made


async def test_what_was_foretold_and_is_leased_begins_by_one_word(hand: tuple[Hand, Line]) -> None:
    foretold, line = Foretold(), hand[1]
    foretold.say("w1", line, order())
    asked = foretold.begin("w1", line, [order()])
    assert asked is not None
    assert await asked == []
    assert [hand[0].told.get_nowait() for _ in range(2)] == [("prepare", [order()]), ("leased", [1])]


@pytest.mark.parametrize(
    "leased",
    [[order(timeout_s=1.0)], [order(fence=2)], [order(), order(fence=2)], []],
    ids=["otherwise", "another", "two", "nothing"],
)
async def test_what_was_foretold_otherwise_is_ordered_whole(
    hand: tuple[Hand, Line], leased: list[AttemptOrder]
) -> None:
    foretold, line = Foretold(), hand[1]
    foretold.say("w1", line, order())
    assert foretold.begin("w1", line, leased) is None
    assert foretold.begin("w1", line, [order()]) is None  # said once, and passed by


@pytest.mark.parametrize(
    "about",
    [
        {"effect": "once"},
        {"checkpoint": Payload(inline=b"x")},
        {"gang": GangSeat(rank=0, world=2, node="n1", devices=(), local_rank=0, local_world=1)},
    ],
    ids=["once", "checkpoint", "gang"],
)
async def test_what_has_to_ask_or_to_load_first_is_not_foretold(hand: tuple[Hand, Line], about: dict[str, Any]) -> None:
    foretold, line = Foretold(), hand[1]
    foretold.say("w1", line, order(**about))
    assert foretold.begin("w1", line, [order(**about)]) is None


async def test_a_line_that_was_lost_has_the_whole_order_sent_again(hand: tuple[Hand, Line]) -> None:
    foretold, line = Foretold(), hand[1]
    foretold.say("w1", line, order())
    await hand[0].told.get()
    waiting = asyncio.ensure_future(line.call("claim", 1, "w1", ""))
    await asyncio.sleep(0)
    line.close()
    with pytest.raises(Unavailable):
        await waiting
    assert foretold.begin("w1", line, [order()]) is None
    foretold.say("w1", line, order())
    assert foretold.begin("w1", line, [order()]) is None
