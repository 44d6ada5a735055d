"""`async def` flows: the same commands in the same order, whatever order the outcomes come in."""

from __future__ import annotations

import asyncio
import random as chance
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.artifacts.encoded import Encoded
from headwater.errors import InvalidInput
from headwater.sdk import StepFailed, flow, now, sleep, step
from headwater.sdk.context import Current
from headwater.sdk.running.conduct import conclude, within
from headwater.sdk.running.replay import Execution, Wish
from headwater.sdk.running.serialise import dumps, loads
from headwater.wire.calls import Command, Outcome, Payload, Recorded, StepCall


@step
def double(n: int) -> int:
    return 2 * n


@step
def fails(n: int) -> int:
    raise ValueError(n)


@flow(project="p")
async def doubled_twice(n: int) -> list[int]:
    async def twice(n: int) -> int:
        return int(await double(await double(n)))

    return await asyncio.gather(*(twice(each) for each in range(n)))


def test_an_async_flow_awaits_its_steps_side_by_side() -> None:
    assert doubled_twice(3) == [0, 4, 8]


def test_a_failed_step_raises_where_it_is_awaited() -> None:
    @flow(project="p")
    async def made() -> str:
        try:
            await fails(1)
        except StepFailed as error:
            return error.cause_type
        return ""

    assert made() == "ValueError"


def test_sleeps_and_limits_of_asyncio_are_durable_timers() -> None:
    @flow(project="p")
    async def made() -> list[str]:
        told = []

        async def later(name: str, delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            told.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(later("second", 0.02))
            group.create_task(later("first", 0.01))
        try:
            async with asyncio.timeout(0.01):
                await sleep(60)
        except TimeoutError:
            told.append("timeout")
        return told

    assert made() == ["first", "second", "timeout"]


def test_a_task_that_nothing_can_wake_is_refused() -> None:
    @flow(project="p")
    async def made() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(InvalidInput, match="waits for something"):
        made()


def test_threads_have_no_place_in_an_async_flow() -> None:
    @flow(project="p")
    async def made() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(InvalidInput, match="no threads"):
        made()


def test_a_future_awaited_in_a_plain_flow_names_result() -> None:
    @flow(project="p")
    def made() -> None:
        double(1).__await__()

    with pytest.raises(TypeError, match=r"\.result\(\)"):
        made()


class Crowd:
    """An engine whose steps end in an order drawn by lot, each told from a thread of its own."""

    def __init__(self, seed: int) -> None:
        self.lot = chance.Random(seed)
        self.sent: list[Command] = []
        self.outcomes: dict[int, Outcome] = {}
        self.order: list[int] = []
        self.open: list[int] = []
        self.running: Execution | None = None

    def send(self, command: Command, wish: Wish) -> None:
        self.sent.append(command)
        if wish.function is None:
            self.outcomes[command.ordinal] = Outcome(payload=Payload(codec="json", inline=b"0"))
        else:
            assert isinstance(command.call, StepCall)
            args, kwargs = loads(self.content(command.call.arguments))
            content = dumps(wish.function(*args, **kwargs), place="x").content
            self.outcomes[command.ordinal] = Outcome(payload=Payload(inline=content))
        self.open.append(command.ordinal)

    def idle(self) -> bool:
        assert self.running is not None
        if not self.open:
            return False
        ordinal = self.open.pop(self.lot.randrange(len(self.open)))
        self.order.append(ordinal)
        telling = threading.Thread(target=self.running.deliver, args=(ordinal, self.outcomes[ordinal], len(self.order)))
        telling.start()
        return False

    def keep(self, encoded: Encoded) -> Payload:
        return Payload(codec=encoded.codec, inline=encoded.content)

    def content(self, payload: Payload) -> memoryview:
        return memoryview(bytearray(payload.inline or b""))


@flow(project="p")
async def race(n: int) -> list[Any]:
    """What is asked for depends on the order in which steps end."""
    seen: list[Any] = []

    async def one(number: int) -> None:
        await double(number)
        seen.append(number)
        if len(seen) % 2:
            await double(100 * number + len(seen))
            now()
        seen.append(-number)

    await asyncio.gather(*(one(number) for number in range(1, n + 1)))
    return seen


def executed(engine: Crowd, record: list[Recorded]) -> Any:
    engine.running = Execution("r", engine, record)

    def no_pins(name: str) -> Any:
        raise AssertionError(name)

    with within(engine.running, Current("r"), no_pins):
        ended = conclude(lambda: race, {"n": 4}, engine.running)
    assert ended is not None
    assert ended[0].failure is None, ended[0].failure
    return ended[1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 30))
def test_any_cut_of_the_record_is_played_back_to_the_same_end(seed: int, cut: int) -> None:
    live = Crowd(seed)
    result = executed(live, [])
    number = {ordinal: place + 1 for place, ordinal in enumerate(live.order)}
    whole = [
        Recorded(command=one, outcome=live.outcomes[one.ordinal], answered=number[one.ordinal])
        for one in live.sent
        if one.ordinal in number
    ]
    again = Crowd(seed + 1)
    assert executed(again, whole) == result
    assert again.sent == []
    taken = set(live.order[:cut])  # what had been answered when the host died; the rest was asked for, or not yet
    partial = Crowd(seed + 2)
    partial.order = list(live.order[:cut])
    last = max((one.command.ordinal for one in whole if one.command.ordinal in taken), default=-1)
    begun = [
        one if one.command.ordinal in taken else Recorded(command=one.command)
        for one in whole
        if one.command.ordinal <= last
    ]
    for one in begun:
        if one.outcome is None:
            partial.open.append(one.command.ordinal)
            partial.outcomes[one.command.ordinal] = live.outcomes[one.command.ordinal]
    assert sorted(map(abs, executed(partial, begun))) == sorted(map(abs, result))
