import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.sdk import StepFailed, current, flow, gather, step


@step
def add(a: int, b: Any = 0) -> Any:
    return a + b


@step(retries=2)
def stubborn(until: int) -> int:
    if current().attempt < until:
        raise ValueError(f"attempt {current().attempt}")
    return current().attempt


def flown(body: Any) -> Any:
    """What `body` returns inside a flow."""

    @flow(project="p")
    def made() -> Any:
        return body()

    return made()


def test_a_step_called_outside_a_flow_is_the_plain_function() -> None:
    assert add(1, b=2) == 3


def test_a_step_called_in_a_flow_gives_a_future_of_its_result() -> None:
    assert flown(lambda: add(1, 2).result()) == 3


def test_a_future_passed_on_at_any_depth_is_the_result_for_the_step() -> None:
    @step
    def total(parts: dict[str, list[int]]) -> int:
        return sum(parts["numbers"])

    assert flown(lambda: total({"numbers": [add(1, 2), 4]}).result()) == 7


def test_a_future_in_the_flows_result_is_resolved() -> None:
    assert flown(lambda: {"sum": add(1, 2)}) == {"sum": 3}


def test_each_result_is_a_fresh_copy() -> None:
    @step
    def numbers() -> list[int]:
        return [1]

    def body() -> bool:
        future = numbers()
        future.result().append(2)
        return bool(future.result() == [1])

    assert flown(body)


@pytest.mark.parametrize(
    "use",
    [
        bool,
        list,
        len,
        str,
        int,
        float,
        "{}".format,
        lambda future: future.metrics,
        lambda future: future.done(),
        lambda future: future == 3,
        lambda future: future != 3,
        lambda future: future < 3,
        lambda future: future[0],
        lambda future: 3 in future,
        lambda future: 1 + future,
    ],
)
def test_whatever_would_need_the_value_of_a_future_names_result(use: Any) -> None:
    with pytest.raises(TypeError, match=r"\.result\(\)"):
        flown(lambda: use(add(1)))


def test_a_failed_step_raises_step_failed_with_the_users_frames_alone() -> None:
    @step
    def breaks(x: int) -> None:
        raise ValueError(f"no {x}")

    with pytest.raises(StepFailed, match="no 7") as caught:
        flown(lambda: breaks(7).result())
    assert (caught.value.kind, caught.value.cause_type, caught.value.message) == ("exception", "ValueError", "no 7")
    assert 'raise ValueError(f"no {x}")' in caught.value.frames
    assert "headwater/sdk" not in caught.value.frames


def test_a_step_fed_by_a_failed_one_does_not_run_and_raises_the_same() -> None:
    ran: list[int] = []

    @step
    def breaks() -> int:
        raise ValueError("first")

    @step
    def after(value: int) -> None:
        ran.append(value)

    with pytest.raises(StepFailed, match="first"):
        flown(lambda: after(breaks()).result())
    assert ran == []


def test_a_failure_that_nobody_asked_about_fails_the_flow() -> None:
    @step
    def breaks() -> int:
        raise ValueError("unheard")

    def body() -> None:
        breaks()

    with pytest.raises(StepFailed, match="unheard"):
        flown(body)


def test_a_failure_that_was_caught_does_not_fail_the_flow() -> None:
    @step
    def breaks() -> int:
        raise ValueError("heard")

    def body() -> str:
        try:
            gather([breaks(), breaks()])
        except StepFailed as error:
            return error.message
        return ""

    assert flown(body) == "heard"


def test_a_step_is_tried_again_as_often_as_it_says() -> None:
    assert flown(lambda: stubborn(3).result()) == 3
    with pytest.raises(StepFailed, match="attempt 3"):
        flown(lambda: stubborn(4).result())


@pytest.mark.parametrize("value", [lambda: 0, {"deep": [1, {"x": (lambda: 0)}]}, threading.Lock()])
def test_an_argument_that_cannot_be_sent_is_refused_at_the_call(value: object) -> None:
    with pytest.raises(InvalidInput, match="Argument of step add: b"):
        flown(lambda: add(1, value))


def test_a_step_that_is_called_with_an_open_file_is_refused_before_it_begins(tmp_path: Path) -> None:
    ran: list[object] = []

    @step
    def reads(rows: object) -> None:
        ran.append(rows)

    with (
        (tmp_path / "x").open("w") as file,
        pytest.raises(InvalidInput, match=r"step reads: rows is a _io"),
    ):
        flown(lambda: reads(file))
    assert ran == []


def test_the_refusal_names_the_path_inside_the_argument() -> None:
    with pytest.raises(InvalidInput, match=r"b\['deep'\]\[1\]\.target is a builtins\.function"):
        flown(lambda: add(1, {"deep": [0, Holder(lambda: 0)]}))


class Holder:
    def __init__(self, target: object) -> None:
        self.target = target


def test_options_are_read_into_the_units_of_the_record() -> None:
    made = step(gpus=0.5, cpus="1500m", memory="8GiB", timeout="1h30m", backoff=timedelta(seconds=3), retries=2)(
        add.function
    )
    assert (made.asks.demand.gpus_milli, made.asks.demand.cpus_milli) == (500, 1500)
    assert made.asks.demand.memory_bytes == 8 << 30
    assert (made.asks.timeout_s, made.asks.backoff_s, made.asks.retries) == (5400, 3, 2)
    assert made.options(gpus=2).asks.demand.gpus_milli == 2000
    assert made.options(gpus=2).asks.demand.memory_bytes == 8 << 30


def test_a_step_may_name_the_level_that_its_ranks_stay_within() -> None:
    asks = step(gang=2, topology="rack", topology_preferred="island")(add.function).asks
    assert (asks.demand.required_level, asks.demand.preferred_level) == ("rack", "island")


def test_a_gang_is_a_number_of_ranks_or_the_fewest_and_the_most() -> None:
    asked = [step(gang=gang, gpus=1)(add.function).asks for gang in (4, (2, 4))]
    assert [(one.demand.ranks, one.ranks_min) for one in asked] == [(4, 0), (4, 2)]
    assert current().rank == 0
    assert current().world_size == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpu": 1}, "Did you mean 'gpus'"),
        ({"timeout": "-3s"}, "timeout is '-3s'"),
        ({"timeout": -3}, "timeout is -3"),
        ({"retries": -1}, "retries is -1"),
        ({"effect": "onse"}, "Did you mean 'once'"),
        ({"effect": "once", "retries": 1}, "only once"),
        ({"gang": 0}, "gang is 0"),
        ({"gang": 2, "topology": "rak"}, "no level"),
        ({"gang": (4, 2)}, "the fewest first"),
        ({"gang": "four"}, "number of ranks"),
        ({"gang": 2, "gpus": 0.5}, "whole GPUs"),
        ({"min_runtime": "2h", "max_runtime": "1h"}, "min_runtime is 7200 s and max_runtime 3600 s"),
        ({"memory": "8 bananas"}, "memory is '8 bananas'"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        step(**settings)(add.function)
