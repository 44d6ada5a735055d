import asyncio
import importlib.util
import logging
import pickle
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from headwater.actors.work.flow_host import FlowHost
from headwater.actors.work.hosted_run import Patience
from headwater.sdk.running.serialise import dumps
from headwater.wire.calls import Answer, Command, Outcome, Payload, Recorded, RunEnd, StepCall

_found = importlib.util.spec_from_file_location("host_desk", Path(__file__).with_name("desk.py"))
assert _found is not None
assert _found.loader is not None
desk: ModuleType = importlib.util.module_from_spec(_found)
_found.loader.exec_module(desk)

pytestmark = pytest.mark.asyncio(loop_scope="session")

FLOWS = """
from headwater.sdk import flow, step, gather

@step
def add(a, b): return a + b

@flow(project="p")
def chain(n: int = 1):
    print("begins", n)
    first = add(n, 1)
    return {"sum": add(first, 2).result()}

@flow(project="p")
def breaks():
    raise ValueError("mine")

@flow(project="p")
def spins():
    add(1, 1)
    while True: pass

@flow(project="p")
def fans():
    return sum(gather([add(n, 0) for n in range(300)]))
"""


class Place:
    def __init__(self, home: Path, bundle: str) -> None:
        self.home, self.bundle, self.desk = home, bundle, desk.Desk()
        self.patience = Patience()

    @cached_property
    def host(self) -> FlowHost:  # made in the test itself: pytest gives each phase its own sys.stdout
        return FlowHost("host:1", self.home, self.desk, patience=self.patience)

    async def execute(self, function: str, *, record: tuple[Recorded, ...] = (), **more: Any) -> None:
        order = desk.run_order(self.bundle, f"host_flows:{function}", **more)
        await self.host.execute(msgspec.structs.replace(order, record=record))

    async def command(self) -> Command:
        return await asyncio.wait_for(self.desk.issued.get(), 60)

    async def end(self) -> RunEnd:
        return await asyncio.wait_for(self.desk.ends.get(), 60)

    async def answer(self, ordinal: int, value: object, *, fence: int = 1) -> None:
        await self.host.deliver([Answer(run_id="run", fence=fence, ordinal=ordinal, outcome=good(value))])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "path", list(sys.path))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    home = tmp_path / "home"
    yield Place(home, desk.bundled(home, tmp_path, "host_flows", FLOWS))
    root.handlers, root.level = handlers, level
    sys.modules.pop("host_flows", None)


def good(value: object) -> Outcome:
    return Outcome(payload=Payload(inline=dumps(value, place="x").content))


def value_of(end: RunEnd) -> Any:
    assert end.outcome.failure is None, end.outcome.failure
    assert end.outcome.payload is not None
    assert end.outcome.payload.inline is not None
    return pickle.loads(end.outcome.payload.inline)


async def test_a_run_asks_for_its_steps_and_ends_with_its_result(place: Place) -> None:
    await place.execute("chain", parameters={"n": "4"})
    first, second = await place.command(), await place.command()
    assert isinstance(second.call, StepCall)
    assert (first.key, second.key, second.call.needs) == ("add#1", "add#2", (0,))
    await place.answer(0, 5)
    await place.answer(1, 7)
    end = await place.end()
    assert value_of(end) == {"sum": 7}
    assert end.preview == {"sum": 7}


async def test_what_a_flow_prints_is_in_its_log(place: Place) -> None:
    await place.execute("chain", parameters={"n": 4})
    await place.command()
    assert (place.home / "logs" / "runs" / "run" / "flow.log").read_text() == "begins 4\n"
    await place.host.close("run", 1, "test ends")


async def test_a_flow_that_raises_ends_with_the_users_frames_alone(place: Place) -> None:
    await place.execute("breaks")
    failure = (await place.end()).outcome.failure
    assert failure is not None
    assert (failure.kind, failure.cause_type, failure.message) == ("exception", "ValueError", "mine")
    assert "in breaks" in failure.frames
    assert "conduct" not in failure.frames


async def test_parameters_that_do_not_fit_end_the_run_naming_them(place: Place) -> None:
    await place.execute("chain", parameters={"n": "many"})
    failure = (await place.end()).outcome.failure
    assert failure is not None
    assert failure.kind == "bad_parameters"
    assert "'n'" in failure.message
    assert "'many'" in failure.message


async def test_a_flow_that_the_code_does_not_have_ends_the_run(place: Place) -> None:
    await place.execute("gone")
    failure = (await place.end()).outcome.failure
    assert failure is not None
    assert "no 'gone'" in failure.message


async def test_a_run_taken_up_again_is_played_back(place: Place) -> None:
    await place.execute("chain")
    record = [await place.command(), await place.command()]
    recorded = tuple(Recorded(command=one, outcome=good(one.ordinal + 5)) for one in record)
    await place.execute("chain", fence=2, record=recorded)
    end = await place.end()
    assert (end.fence, value_of(end)) == (2, {"sum": 6})
    assert place.desk.issued.empty()


async def test_a_stale_order_and_a_stale_answer_change_nothing(place: Place) -> None:
    await place.execute("chain", fence=5)
    await place.command()
    await place.command()
    await place.execute("chain", fence=4)
    await place.answer(1, 0, fence=4)
    await place.answer(1, 9, fence=5)
    await place.answer(0, 9, fence=5)
    assert value_of(await place.end()) == {"sum": 9}


async def test_a_closed_run_says_nothing_more(place: Place) -> None:
    await place.execute("chain")
    await place.command()
    await place.command()
    await place.host.close("run", 1, "cancelled")
    described = await place.host.describe()
    assert (described["name"], described["mailbox"]) == (f"host:{place.host._name}", 0)
    await place.execute("chain", fence=2)
    assert (await place.command()).ordinal == 0
    await place.host.close("run", 2, "test ends")
    assert place.desk.ends.empty()


async def test_a_run_that_the_conductor_refuses_is_closed(place: Place) -> None:
    place.desk.refusal = "stale fence"
    await place.execute("chain")
    await place.command()
    while (await place.host.describe())["mailbox"]:
        await asyncio.sleep(0)
    assert place.desk.ends.empty()


async def test_a_fan_out_is_issued_in_order(place: Place) -> None:
    await place.execute("fans")
    commands = [await place.command() for _ in range(300)]
    assert [command.ordinal for command in commands] == list(range(300))
    await place.host.deliver([Answer(run_id="run", fence=1, ordinal=n, outcome=good(n)) for n in range(300)])
    assert value_of(await place.end()) == sum(range(300))


async def test_an_answer_or_a_close_that_overtakes_its_run_is_kept_for_it(place: Place) -> None:
    await place.answer(1, 9)
    await place.answer(0, 9)
    await place.execute("chain")
    assert value_of(await place.end()) == {"sum": 9}
    await place.host.close("other", 2, "cancelled")
    await place.host.execute(msgspec.structs.replace(desk.run_order(place.bundle, "host_flows:chain"), run_id="other"))
    assert (await place.host.describe())["mailbox"] == 0


async def test_a_run_that_waits_leaves_memory_and_comes_back_by_replay(place: Place) -> None:
    place.patience = Patience(evict_after_s=0.05)
    await place.execute("chain")
    commands = [await place.command(), await place.command()]
    assert await asyncio.wait_for(place.desk.parked.get(), 60) == [1]
    while (await place.host.describe())["mailbox"]:
        await asyncio.sleep(0)
    assert place.desk.ends.empty()
    recorded = tuple(Recorded(command=one, outcome=good(one.ordinal + 5)) for one in commands)
    await place.execute("chain", fence=3, record=recorded)
    assert value_of(await place.end()) == {"sum": 6}


async def test_a_run_whose_answer_is_on_its_way_is_not_let_go(place: Place) -> None:
    place.patience, place.desk.refusal = Patience(evict_after_s=0.05), ""
    await place.execute("chain")
    await place.command(), await place.command()
    place.desk.refusal = "answered"
    await asyncio.wait_for(place.desk.parked.get(), 60)
    await place.answer(1, 9)
    await place.answer(0, 9)
    assert value_of(await place.end()) == {"sum": 9}


async def test_a_flow_that_neither_asks_nor_waits_is_stuck_and_says_where(place: Place) -> None:
    place.patience = Patience(stuck_after_s=0.3)
    await place.execute("spins")
    failure = (await place.end()).outcome.failure
    assert failure is not None
    assert failure.kind == "flow_stuck"
    assert "while True: pass" in failure.frames
    assert (await place.host.describe())["mailbox"] == 0
