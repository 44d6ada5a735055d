import threading
from typing import Any

import msgspec
import pytest

from headwater.artifacts.encoded import Encoded
from headwater.sdk import ResultTimeout, StepFailed, WaitTimeout, first, flow, now, step, wait_for
from headwater.sdk.context import Current
from headwater.sdk.running.conduct import conclude, within
from headwater.sdk.running.replay import Execution, Wish
from headwater.sdk.running.serialise import dumps
from headwater.wire.calls import Command, DeadlineCall, FirstCall, Outcome, Payload, Recorded, WaitCall
from headwater.wire.terms import Failure


@step
def double(x: Any) -> Any:
    return x


@step
def other(x: Any) -> Any:
    return x


class Recorder:
    """An engine that keeps what was sent; the test answers."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.asked = threading.Semaphore(0)

    def send(self, command: Command, wish: Wish) -> None:
        self.sent.append(command)
        self.asked.release()

    def idle(self) -> bool:
        return False

    def keep(self, encoded: Encoded) -> Payload:
        return Payload(codec=encoded.codec, inline=encoded.content)

    def content(self, payload: Payload) -> memoryview:
        return memoryview(bytearray(payload.inline or b""))


def good(value: object) -> Outcome:
    return Outcome(payload=Payload(inline=dumps(value, place="x").content))


def bad(message: str) -> Outcome:
    return Outcome(failure=Failure(kind="exception", message=message, step="double"))


def played(body: Any, record: list[Recorded]) -> tuple[Outcome | None, Recorder]:
    """How a run with this record ends that needs no further answer."""
    recorder = Recorder()
    return ended(body, Execution("r", recorder, record)), recorder


def ended(body: Any, running: Execution) -> Outcome | None:
    made = flow(project="p", name="made")(body)

    def no_pins(name: str) -> Any:
        raise AssertionError(name)

    with within(running, Current("r"), no_pins):
        found = conclude(lambda: made, {}, running)
    return found[0] if found else None


def record_of(body: Any, answers: list[Outcome]) -> list[Recorded]:
    """What a first execution asked for, each command answered as it came."""
    recorder = Recorder()
    running = Execution("r", recorder)
    thread = threading.Thread(target=ended, args=(body, running))
    thread.start()
    for ordinal, answer in enumerate(answers):
        assert recorder.asked.acquire(timeout=60)
        running.deliver(ordinal, answer)
    thread.join(60)
    return [Recorded(command=one, outcome=answers[one.ordinal], answered=one.ordinal + 1) for one in recorder.sent]


def value_of(outcome: Outcome | None) -> Any:
    import pickle

    assert outcome is not None
    assert outcome.payload is not None
    assert outcome.payload.inline is not None
    return pickle.loads(outcome.payload.inline)


def two() -> Any:
    return double(1).result() + double(2).result()


def test_commands_have_ordinals_and_the_keys_of_their_names() -> None:
    record = record_of(two, [good(1), good(2)])
    assert [(one.command.ordinal, one.command.key) for one in record] == [(0, "double#1"), (1, "double#2")]


def test_a_recorded_run_is_played_back_without_asking_again() -> None:
    outcome, recorder = played(two, record_of(two, [good(1), good(2)]))
    assert value_of(outcome) == 3
    assert recorder.sent == []


def test_a_run_goes_on_where_its_record_ends() -> None:
    record = record_of(two, [good(1), good(2)])[:1]
    recorder = Recorder()
    running = Execution("r", recorder, record)
    ends: list[Outcome | None] = []
    thread = threading.Thread(target=lambda: ends.append(ended(two, running)))
    thread.start()
    assert recorder.asked.acquire(timeout=60)
    running.deliver(1, good(5))
    thread.join(60)
    assert [command.ordinal for command in recorder.sent] == [1]
    assert value_of(ends[0]) == 6


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        (lambda: other(1).result() + double(2).result(), "step other#1"),
        (lambda: double(7).result() + double(2).result(), "step double#1"),
        (lambda: now(), "now now#1"),
        (lambda: double(1).result(), "the end of the function"),
    ],
)
def test_code_that_does_something_else_than_its_record_is_a_mismatch_showing_both(changed: Any, shown: str) -> None:
    outcome, _ = played(changed, record_of(two, [good(1), good(2)]))
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.kind == "code_mismatch"
    assert "step double#" in outcome.failure.message
    assert shown in outcome.failure.message


def test_a_mismatch_that_user_code_swallows_still_fails_the_run() -> None:
    def swallows() -> str:
        try:
            other(1)
        except BaseException:
            return "fine"
        return ""

    outcome, _ = played(swallows, record_of(two, [good(1), good(2)]))
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.kind == "code_mismatch"


def number(value: object) -> Outcome:
    return Outcome(payload=Payload(codec="json", inline=msgspec.json.encode(value)))


def test_first_is_what_the_platform_says_and_the_same_in_replay() -> None:
    def body() -> Any:
        a, b = double("a"), double("b")
        return first(a, b).result()

    record = record_of(body, [good("a"), good("b"), number(1)])
    assert record[2].command.call == FirstCall(of=(0, 1))
    assert value_of(played(body, record)[0]) == "b"


def test_a_result_that_came_too_late_came_too_late_in_replay_as_well() -> None:
    def body() -> Any:
        slow = double(1)
        try:
            return slow.result(timeout=0.001)
        except ResultTimeout as error:
            return type(error).__name__

    record = record_of(body, [good(1), number(True)])
    assert record[1].command.call == DeadlineCall(of=0, duration_us=1_000)
    assert value_of(played(body, record)[0]) == "ResultTimeout"
    in_time = [record[0], Recorded(command=record[1].command, outcome=number(False), answered=2)]
    assert value_of(played(body, in_time)[0]) == 1


def test_an_event_that_was_waited_for_is_played_back() -> None:
    def body() -> Any:
        event = wait_for("approved", where="data.by == 'ann'", timeout="1h")
        return event.data["by"]

    told = {"id": "e", "source": "s", "type": "approved", "subject": "", "data": {"by": "ann"}}
    record = record_of(body, [number(told)])
    assert record[0].command.call == WaitCall(event_type="approved", where="data.by == 'ann'", timeout_us=3_600_000_000)
    assert value_of(played(body, record)[0]) == "ann"


def test_a_wait_that_ended_without_an_event_raises_wait_timeout() -> None:
    def body() -> Any:
        try:
            wait_for("approved", timeout=5)
        except WaitTimeout as error:
            return error.what

    record = record_of(body, [Outcome(failure=Failure(kind="timeout", message="nobody came"))])
    assert value_of(played(body, record)[0]) == "nobody came"


def test_a_key_used_twice_is_refused() -> None:
    def body() -> Any:
        double.options(key="same")(1)
        double.options(key="same")(2)

    outcome, recorder = played(body, [])
    assert outcome is not None
    assert outcome.failure is not None
    assert "'same' was used before" in outcome.failure.message
    assert [command.key for command in recorder.sent] == ["same"]


def test_a_failure_that_nobody_asked_about_fails_the_run_after_all_has_ended() -> None:
    def body() -> int:
        double(1)
        return 3

    outcome, _ = played(body, record_of(body, [bad("unheard")]))
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.message == "unheard"


def test_a_function_that_returned_waits_for_every_step_it_started() -> None:
    def body() -> int:
        double(1)
        double(2)
        return 3

    recorder, ends = Recorder(), list[Outcome | None]()
    running = Execution("r", recorder)
    thread = threading.Thread(target=lambda: ends.append(ended(body, running)))
    thread.start()
    for _ in range(2):
        assert recorder.asked.acquire(timeout=60)
    running.deliver(1, good(2))
    thread.join(0.05)
    assert ends == []
    running.deliver(0, good(1))
    thread.join(60)
    assert value_of(ends[0]) == 3


def test_a_function_that_raised_waits_for_none() -> None:
    def body() -> None:
        double(1)
        raise ValueError("mine")

    outcome, recorder = played(body, [])
    assert outcome is not None
    assert outcome.failure is not None
    assert (outcome.failure.cause_type, [command.key for command in recorder.sent]) == ("ValueError", ["double#1"])


def test_a_future_counts_as_its_key_where_arguments_are_compared() -> None:
    def digests(body: Any) -> Any:
        return record_of(body, [good(1), good(1), good(1)])[-1].command.digest

    first_of_two, again, second_of_two = (
        digests(lambda wanted=wanted: other([double(1), double(1)][wanted]).result()) for wanted in (0, 0, 1)
    )
    assert first_of_two == again != second_of_two
    assert first_of_two is not None


def test_asking_a_skipped_step_has_asked_the_one_that_failed() -> None:
    def body() -> str:
        try:
            double(double(1)).result()
        except StepFailed as error:
            return error.message
        return ""

    assert value_of(played(body, record_of(body, [bad("root"), bad("root")]))[0]) == "root"


def test_json_outcomes_are_values_too() -> None:
    def body() -> Any:
        return now().year

    answer = Outcome(payload=Payload(codec="json", inline=msgspec.json.encode(0)))
    assert value_of(played(body, record_of(body, [answer]))[0]) == 1970


def test_a_closed_execution_says_nothing_more_however_its_function_ends() -> None:
    recorder = Recorder()
    running = Execution("r", recorder)

    def body() -> Any:
        try:
            return double(1).result()
        finally:
            double(2)

    ends: list[Outcome | None] = []
    thread = threading.Thread(target=lambda: ends.append(ended(body, running)))
    thread.start()
    assert recorder.asked.acquire(timeout=60)
    running.close("cancelled")
    thread.join(60)
    assert ends == [None]
    assert len(recorder.sent) == 1
