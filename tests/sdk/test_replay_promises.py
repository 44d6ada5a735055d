"""Every kind of command is played back from wherever its record was cut; arguments are as they were at the call."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from headwater.data.lake import LocalLake, current_lake
from headwater.errors import InvalidInput
from headwater.sdk import StepFailed, first, flow, now, publish, random, sleep, step, uuid, wait_for
from headwater.sdk.context import Current
from headwater.sdk.running.conduct import conclude, within
from headwater.sdk.running.digest import content_digest, digest
from headwater.sdk.running.inline import Inline
from headwater.sdk.running.replay import Execution, Wish
from headwater.sdk.running.serialise import loads
from headwater.sdk.table import Table
from headwater.wire.calls import Command, Outcome, Recorded, StepCall

CHOSEN = 3  # now, uuid and random come first: what follows them is the same in every run


class Opaque:
    """Can be sent, and not be compared."""


@step
def double(x: Any) -> Any:
    return 2 * x


@step
def broken() -> None:
    raise ValueError("broken")


@step(cache=True)
def kept(x: Any) -> int:
    return 1


@flow(project="p")
def inside(n: int) -> int:
    return int(double(n).result())


@flow(project="p")
def everything() -> list[Any]:
    found: list[Any] = [now().isoformat(), str(uuid()), random()]
    publish("said", {"n": 1})
    found.append(wait_for("said", timeout="1s").data)
    sleep(0)
    found.append(double(inside(4)).result())
    found.append(first([double(5), double(6)]).result())
    found.append(double(7).result(timeout="5s"))
    try:
        broken().result()
    except StepFailed as error:
        found.append(error.message)
    return found


class Kept(Inline):
    """The engine of a direct call, which keeps what it was asked and what it said."""

    def __init__(self, record: list[Recorded]) -> None:
        super().__init__("p")
        self.sent: list[Command] = []
        self._outcomes = {one.command.ordinal: one.outcome for one in record if one.outcome is not None}
        self._published = [{"id": "r/3", "source": "headwater", "type": "said", "subject": "", "data": {"n": 1}}]
        if not record or record[-1].command.ordinal != CHOSEN:
            self._published = []
        self.execution = Execution("r", self, record)

    def send(self, command: Command, wish: Wish) -> None:
        self.sent.append(command)
        super().send(command, wish)

    def record(self) -> list[Recorded]:
        return [
            Recorded(command=one, outcome=self._outcomes.get(one.ordinal), answered=number)
            for number, one in enumerate(self.sent, 1)
        ]

    def end(self, body: Any = everything) -> Any:
        with within(self.execution, Current("r", "p"), self.pin):
            ended = conclude(lambda: body, {}, self.execution)
        assert ended is not None
        assert ended[0].failure is None, ended[0].failure
        return ended[1]


def test_every_kind_of_command_is_played_back_from_any_cut() -> None:
    live = Kept([])
    result, whole = live.end(), live.record()
    kinds = {one.command.kind for one in whole}
    assert kinds == {
        "now", "uuid", "random", "publish", "wait_for", "sleep", "run", "step", "first", "result_timeout",
    }  # fmt: skip
    for cut in range(len(whole) + 1):
        again = Kept(whole[:cut])
        assert again.end()[CHOSEN if cut < CHOSEN else 0 :] == result[CHOSEN if cut < CHOSEN else 0 :]
        asked = [(one.ordinal, one.kind, one.key, one.digest) for one in again.sent]
        assert asked == [(one.ordinal, one.kind, one.key, one.digest) for one in live.sent[cut:]]


def test_an_argument_is_sent_as_it_was_when_the_step_was_called() -> None:
    def body() -> None:
        given = [1]
        double(given)
        given.append(2)

    engine = Kept([])
    engine.end(flow(project="p", name="body")(body))
    (call,) = (one.call for one in engine.sent if isinstance(one.call, StepCall))
    assert loads(engine.content(call.arguments))[0] == ([1],)


def test_what_cannot_be_compared_is_no_mismatch() -> None:
    @flow(project="p")
    def body() -> None:
        double_of_two(Opaque())

    engine = Kept([])
    engine.end(body)
    assert engine.sent[0].digest is None
    assert Kept([Recorded(command=engine.sent[0], outcome=Outcome())]).end(body) is None


@step
def double_of_two(x: Any) -> int:
    return 4


def test_a_cached_step_refuses_what_cannot_be_compared_by_name() -> None:
    @flow(project="p")
    def body() -> None:
        kept(Opaque())

    with pytest.raises(InvalidInput, match="argument x holds a Opaque"):
        body()


def test_a_table_counts_as_its_snapshot_where_results_outlive_their_run(tmp_path: Any) -> None:
    token = current_lake.set(LocalLake(tmp_path / "lake"))
    try:
        trips = Table("lake.trips")
        assert content_digest([trips]) is None
        seen = []
        for number in (1, 2):
            trips.append(pa.table({"fare": [1.0]}), key=str(number))
            seen.append((content_digest([trips]), digest([trips])))
        assert seen[0][0] != seen[1][0]
        assert seen[0][1] == seen[1][1] is not None
        assert content_digest([trips.where("fare > 2")]) != seen[1][0]
    finally:
        current_lake.reset(token)
