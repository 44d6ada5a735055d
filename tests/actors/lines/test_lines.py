"""Lines between two ends in one process, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop

from headwater.actors.lines.frames import Frames, framed
from headwater.actors.lines.line import Line
from headwater.actors.lines.switchboard import Address, Switchboard
from headwater.config import NODE_HOST
from headwater.errors import Conflict, Unavailable
from headwater.wire.calls import Progress
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.types import Entry

SECRET = b"s" * 32


class Owner:
    """Answers some words, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.heard = asyncio.Event()
        self.let_go = asyncio.Event()

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        if fence < 0:
            raise Conflict(f"Fence {fence} is not one", remedy="Count from 1.")
        if fence == 0:
            await self.let_go.wait()
        return f"{fence}{worker}{secret}"

    def notice(self, entries: list[Entry]) -> None:
        self.told.append(entries)
        self.heard.set()

    def follow(self, after: int, upto: int, entries: list[Entry]) -> None:
        self.told.append((after, upto, entries))
        self.heard.set()

    def progress(self, items: list[Progress]) -> None:
        raise ValueError("nobody looks at this")


@pytest_asyncio.fixture(loop_scope="session")
async def owner() -> AsyncIterator[tuple[Owner, Switchboard]]:
    owner = Owner()
    switchboard = Switchboard(owner, lambda: SECRET)
    yield owner, switchboard
    switchboard.close()


def line_to(switchboard: Switchboard, secret: bytes = SECRET) -> Line:
    return Line("owner", switchboard.address, secret)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_is_answered_by_the_method_of_its_word(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    assert await line.call("claim", 7, "w", "s") == "7ws"
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_an_answer_that_takes_long_does_not_hold_up_the_next(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    slow = asyncio.ensure_future(line.call("claim", 0, "w", "s"))
    assert await line.call("claim", 1, "w", "s") == "1ws"
    owner[0].let_go.set()
    assert await slow == "0ws"
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_our_own_errors_come_back_as_they_were_raised(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    with pytest.raises(Conflict, match=r"Fence -1 is not one\. Count from 1\."):
        await line.call("claim", -1, "w", "s")
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_what_does_not_fit_the_word_is_refused_and_the_line_goes_on(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    with pytest.raises(Unavailable, match="Expected `int`"):
        await line.call("claim", "seven", "w", "s")
    assert await line.call("claim", 1, "w", "s") == "1ws"
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_words_told_before_the_line_is_open_arrive_in_their_order(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    for position in range(100):
        line.tell("follow", position, position, [])
    await line.call("claim", 1, "w", "s")
    assert owner[0].told == [(position, position, []) for position in range(100)]
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_entries_arrive_as_they_were_said(owner: tuple[Owner, Switchboard]) -> None:
    body = NodeLeft(node="n", reason="gone")
    entry = Entry(position=5, body=body, subject="r", project="p", principal="who", time_us=1, run_id="r", seq=2)
    line = line_to(owner[1])
    line.tell("follow", 4, 5, [entry])
    await owner[0].heard.wait()
    assert owner[0].told == [(4, 5, [entry])]
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_word_that_fails_leaves_the_line_open(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1])
    line.tell("progress", [])
    assert await line.call("claim", 2, "w", "s") == "2ws"
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_who_does_not_know_the_secret_is_not_heard(owner: tuple[Owner, Switchboard]) -> None:
    line = line_to(owner[1], secret=b"x" * 32)
    with pytest.raises(Unavailable, match="owner does not answer"):
        await line.call("claim", 1, "w", "s")
    line.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_call_in_flight_ends_when_the_other_side_goes_away() -> None:
    owner = Owner()
    switchboard = Switchboard(owner, lambda: SECRET)
    line = line_to(switchboard)
    end = await line.open()
    waiting = asyncio.ensure_future(line.call("claim", 0, "w", "s"))
    await line.call("claim", 1, "w", "s")
    end.close()
    with pytest.raises(Unavailable, match="went away"):
        await waiting
    await end.lost
    assert await line.call("claim", 3, "w", "s") == "3ws"  # opened again
    line.close()
    switchboard.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_nobody_there_is_an_error_that_says_so() -> None:
    async def nowhere() -> Address:
        return "127.0.0.1", 1

    with pytest.raises(Unavailable, match="owner does not answer"):
        await Line("owner", nowhere, SECRET).call("claim", 1, "w", "s")


def test_lines_live_on_the_event_loop_of_ray_actors_too() -> None:
    async def once() -> str:
        switchboard = Switchboard(Owner(), lambda: SECRET)
        line = line_to(switchboard)
        answer: str = await line.call("claim", 1, "w", "s")
        line.close()
        switchboard.close()
        return answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once()) == "1ws"


def test_frames_come_out_whole_however_they_were_cut() -> None:
    stream = framed((1, "a", ())) + framed((2, "b" * 300, ()))
    for size in (1, 3, 7, len(stream)):
        frames, out = Frames(), []
        for start in range(0, len(stream), size):
            frames.feed(stream[start : start + size])
            out += list(frames)
        assert out == [framed((1, "a", ()))[4:], framed((2, "b" * 300, ()))[4:]]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_switchboard_listens_on_the_address_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODE_HOST, "127.0.0.2")
    switchboard = Switchboard(Owner(), lambda: SECRET)
    host, _ = await switchboard.address()
    switchboard.close()
    assert host == "127.0.0.2"
