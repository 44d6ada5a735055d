"""`first` of many, taken one after another: in the order of their ends, and at a cost that grows with their number."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given
from scenes.conductor import Scene, a_step, command, delivered, value_of

from headwater.core.conductor import messages as m
from headwater.core.conductor.runs.answering import answer, value
from headwater.core.turn import Turn
from headwater.sdk import first, flow, step
from headwater.sdk.context import Current
from headwater.sdk.running.conduct import conclude, within
from headwater.sdk.running.digest import digest
from headwater.sdk.running.inline import Inline
from headwater.sdk.running.replay import Execution, Wish
from headwater.wire import calls
from headwater.wire.calls import Command, FirstCall, Recorded


def end(scene: Scene, run_id: str, ordinal: int) -> dict[int, Any]:
    """The step has ended; what the host is told beside that."""
    turn = Turn(scene.now_us)
    answer(scene.state, turn, run_id, ordinal, value("done"))
    for table, rows in scene.state.book.changes().items():
        scene.rows.setdefault(table, {}).update(rows)
    scene.machine.settle()
    return {at: value_of(outcome) for at, outcome in delivered(turn).items() if at != ordinal}


def restarted(scene: Scene, run_id: str) -> Scene:
    again = Scene()
    again.machine.load(scene.rows_of([run_id]))
    again.rows, again.now_us = scene.rows, scene.now_us
    run = msgspec.structs.replace(again.state.runs[run_id], host="h1", host_fence=1)
    again.state.runs.load(run_id, run)
    return again


@given(
    order=st.permutations(range(6)),
    asks_after=st.lists(st.integers(0, 6), min_size=6, max_size=6).map(sorted),
    restarts=st.sets(st.integers(0, 5)),
)
def test_they_are_given_in_the_order_of_their_ends_through_restarts(
    order: list[int], asks_after: list[int], restarts: set[int]
) -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, *(a_step(ordinal) for ordinal in range(6)))
    asked, answers = 0, dict[int, int]()

    def ask() -> None:
        nonlocal asked
        number = 6 + asked
        call = FirstCall(of=tuple(range(6))) if not asked else FirstCall(of=(), again=number - 1)
        told = delivered(scene.issue(run_id, command(number, call)))
        answers.update({at: value_of(outcome) for at, outcome in told.items()})
        asked += 1

    for count, ordinal in enumerate(order):
        while asked < 6 and asks_after[asked] <= count and len(answers) == asked:
            ask()
        if count in restarts:
            scene = restarted(scene, run_id)
        answers.update(end(scene, run_id, ordinal))
    while asked < 6:
        ask()
    assert [answers[6 + number] for number in range(6)] == order


def test_new_ones_join_those_that_are_left_and_count_by_their_own_end() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, *(a_step(ordinal) for ordinal in range(4)))
    for ordinal in (3, 0, 1):
        end(scene, run_id, ordinal)
    asked = [FirstCall(of=(0, 1)), FirstCall(of=(2, 3), again=4), FirstCall(of=(), again=5)]
    given = [value_of(delivered(scene.issue(run_id, command(4 + n, call)))[4 + n]) for n, call in enumerate(asked)]
    assert given == [0, 3, 1]
    assert delivered(scene.issue(run_id, command(7, FirstCall(of=(), again=6)))) == {}
    assert end(scene, run_id, 2) == {7: 2}


def test_a_question_about_others_forgets_those_before() -> None:
    scene = Scene()
    run_id = scene.a_running_run()
    scene.issue(run_id, *(a_step(ordinal) for ordinal in range(3)))
    end(scene, run_id, 0)
    scene.issue(run_id, command(3, FirstCall(of=(0, 1))), command(4, FirstCall(of=(2,))))
    assert end(scene, run_id, 1) == {}
    assert end(scene, run_id, 2) == {4: 2}


class Counting:
    """How much a machine notes, and how much of the record it takes."""

    def __init__(self, count: int) -> None:
        self.scene = Scene()
        self.run_id = self.scene.a_running_run()
        self.scene.issue(self.run_id, *(a_step(ordinal) for ordinal in range(count)))
        self.noted = self.size_bytes = 0

    def ask(self, ordinal: int, call: calls.FirstCall) -> None:
        self.size_bytes += len(msgspec.msgpack.encode(call))
        self.scene.tell(m.Issued(self.run_id, 1, (command(ordinal, call),)), settle=False)
        self.settle()

    def end(self, ordinal: int) -> None:
        answer(self.scene.state, Turn(1), self.run_id, ordinal, value("done"))
        self.settle()

    def settle(self) -> None:
        self.noted += self.scene.state.book.mark()
        self.scene.machine.settle()


def work_of(count: int) -> tuple[int, int]:
    counting = Counting(count)
    for number in range(count):
        call = FirstCall(of=tuple(range(count))) if not number else FirstCall(of=(), again=count + number - 1)
        counting.ask(count + number, call)
        counting.end(number)
    return counting.noted, counting.size_bytes


def test_taking_all_one_after_another_costs_in_sum_what_their_number_says() -> None:
    (noted, size_bytes), (noted_of_ten, size_of_ten) = work_of(100), work_of(1_000)
    assert noted_of_ten < 11 * noted
    assert size_of_ten < 15 * size_bytes


# What the flow asks.


@step
def same(n: int) -> int:
    return n


@flow(project="p")
def drain(count: int) -> list[int]:
    left, given = [same(n) for n in range(count)], list[int]()
    while left:
        one = first(left)
        given.append(one.result())
        left = [each for each in left if each is not one]
        if given[-1] == 2:
            left.append(same(100))
    return given


class Kept(Inline):
    """A direct call whose commands are kept, played back as far as `record` reaches."""

    def __init__(self, record: list[Recorded]) -> None:
        super().__init__("p")
        self.sent: list[Command] = []
        self.execution = Execution("r", self, record)
        for one in record:
            if isinstance(one.command.call, FirstCall) and one.outcome is not None:
                left = {*one.command.call.of, *(self._left if one.command.call.again is not None else ())}
                self._left = sorted(left - {value_of(one.outcome)}, reverse=True)

    def send(self, command: Command, wish: Wish) -> None:
        self.sent.append(command)
        super().send(command, wish)

    def record(self) -> list[Recorded]:
        return [Recorded(command=one, outcome=self._outcomes.get(one.ordinal), answered=n) for n, one in
                enumerate(self.sent, 1)]  # fmt: skip

    def end(self, count: int) -> Any:
        with within(self.execution, Current("r", "p"), self.pin):
            ended = conclude(lambda: drain, {"count": count}, self.execution)
        assert ended is not None
        assert ended[0].failure is None, ended[0].failure
        return ended[1]


def test_a_flow_names_each_future_once_and_replays_from_any_cut() -> None:
    live = Kept([])
    result = live.end(5)
    assert result == [0, 1, 2, 3, 4, 100]
    asked = [one.call for one in live.sent if isinstance(one.call, FirstCall)]
    assert sum(len(call.of) for call in asked) == 6
    for cut in range(len(live.sent)):
        assert Kept(live.record()[:cut]).end(5) == result


def test_a_record_of_all_that_was_chosen_from_is_played_back_as_it_is() -> None:
    """As platforms before this one wrote it."""
    live = Kept([])
    result = live.end(3)
    keys = {one.ordinal: one.key for one in live.sent}
    left, old = list[int](), list[Recorded]()
    for one in live.record():
        call = one.command.call
        if isinstance(call, FirstCall):
            whole = (*left, *call.of) if call.again is not None else call.of
            named = digest([keys[ordinal] for ordinal in whole])
            command_ = msgspec.structs.replace(one.command, call=FirstCall(of=whole), digest=named)
            old.append(msgspec.structs.replace(one, command=command_))
            assert one.outcome is not None
            left = [ordinal for ordinal in whole if ordinal != value_of(one.outcome)]
        else:
            old.append(one)
    assert Kept(old).end(3) == result
