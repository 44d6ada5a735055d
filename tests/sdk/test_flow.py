import subprocess
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from headwater.errors import HeadwaterError, InvalidInput
from headwater.sdk import (
    StepFailed,
    WaitTimeout,
    current,
    flow,
    model,
    now,
    on,
    publish,
    random,
    register,
    sleep,
    step,
    uuid,
    wait_for,
)


def test_parameters_are_converted_to_their_annotations() -> None:
    @flow(project="p")
    def made(day: date, n: int = 3) -> tuple[date, int]:
        return day, n

    assert made("2026-11-22", n="4") == (date(2026, 11, 22), 4)  # type: ignore[arg-type]
    assert made(date(2026, 1, 2)) == (date(2026, 1, 2), 3)


def test_a_parameter_that_does_not_fit_is_named_with_its_value() -> None:
    @flow(project="p")
    def made(n: int) -> int:
        return n

    with pytest.raises(InvalidInput, match=r"Parameter 'n' of flow made is 'many'.*integer"):
        made.parameters.converted({"n": "many"})
    with pytest.raises(InvalidInput, match="needs the parameter 'n'"):
        made.parameters.converted({})
    with pytest.raises(InvalidInput, match="no parameter 'm'"):
        made.parameters.converted({"n": 1, "m": 2})


def test_the_schema_allows_no_other_parameters() -> None:
    @flow(project="p")
    def made(day: str, sizes: list[int] = [1]) -> None: ...  # noqa: B006

    schema = made.parameters.schema()
    assert schema["required"] == ["day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["sizes"]["default"] == [1]


def test_names_that_pydantic_would_shadow_are_parameters_like_any_other() -> None:
    @flow(project="p")
    def made(schema: str, copy: int, model_config: str = "x") -> str:
        return f"{schema}{copy}{model_config}"

    assert made("a", 1) == "a1x"


def test_a_flow_called_in_a_flow_is_a_run_of_its_own_with_its_result() -> None:
    @step
    def where() -> str:
        return current().step_id

    @flow(project="p")
    def inner(n: int) -> Any:
        return n, where().result()

    @flow(project="p")
    def outer() -> Any:
        return [inner(n) for n in range(2)]

    assert outer() == [(0, "local/0/0"), (1, "local/1/0")]


def test_a_failure_in_a_run_inside_a_run_is_raised_where_its_result_is_asked_for() -> None:
    @flow(project="p")
    def inner() -> None:
        raise ValueError("deep")

    @flow(project="p")
    def outer() -> str:
        try:
            inner().result()
        except StepFailed as error:
            return f"{error.cause_type}: {error.message}"
        return ""

    assert outer() == "ValueError: deep"


def test_a_flow_may_call_itself() -> None:
    assert fibonacci(6) == 8


@flow(project="p")
def fibonacci(n: int) -> Any:
    return n if n < 2 else fibonacci(n - 1).result() + fibonacci(n - 2).result()


def test_a_flow_called_directly_hears_the_events_that_it_published() -> None:
    @flow(project="p")
    def made() -> list[Any]:
        publish("approved", {"n": 1})
        publish("approved", {"n": 2})
        second = wait_for("approved", where="data.n == 2").data["n"]
        first_of_all = wait_for("approved").data["n"]
        try:
            wait_for("approved", timeout=1)
        except WaitTimeout:
            return [second, first_of_all]
        return []

    assert made() == [2, 1]


def test_a_wait_that_nobody_can_end_is_refused_where_nobody_can_send() -> None:
    @flow(project="p")
    def made() -> None:
        wait_for("approved")

    with pytest.raises(InvalidInput, match=r"'approved'.*timeout"):
        made()


def test_the_durable_helpers_answer_outside_and_inside_a_flow() -> None:
    @flow(project="p")
    def made() -> list[type]:
        sleep("1ms")
        publish("said", {"n": 1})
        return [type(value) for value in (now(), uuid(), random())]

    assert made() == [type(value) for value in (now(), uuid(), random())]


@step
def half(n: int) -> float:
    return n / 2


@pytest.mark.parametrize(
    ("waits", "where"),
    [
        (lambda: sleep(-1), "sleep is -1"),
        (lambda: wait_for("approved", timeout="-1s"), "wait_for: timeout is '-1s'"),
        (lambda: half(1).result(timeout=-0.5), "timeout is -0.5"),
    ],
)
def test_a_negative_length_of_time_is_refused_by_name(waits: Callable[[], Any], where: str) -> None:
    @flow(project="p")
    def made() -> Any:
        return waits()

    with pytest.raises(InvalidInput, match=f"{where}, which is no length of time"):
        made()


def test_what_is_not_json_is_not_published() -> None:
    @flow(project="p")
    def made() -> None:
        publish("said", {"x": object()})

    with pytest.raises(InvalidInput, match="its data is not JSON"):
        made()
    with pytest.raises(InvalidInput, match="outside a flow"):
        publish("said")


def test_only_a_model_can_be_registered() -> None:
    @flow(project="p")
    def made() -> None:
        register("delay", 3)  # type: ignore[arg-type]

    with pytest.raises(InvalidInput, match="int is no Model"):
        made()


def test_a_flow_sees_the_model_that_it_registered() -> None:
    from headwater.sdk.model import Model
    from headwater.wire.v2 import Signature

    trained = Model("d" * 64, "onnx", Signature((), ()), {"mae": 3.0}, 10)

    @flow(project="p")
    def made() -> Any:
        return register("delay", trained, serve=None), register("delay", trained), model("delay")

    first, second, seen = made()
    assert (first.version, second.version) == (1, 2)
    assert (seen.digest, seen.metrics) == (trained.digest, trained.metrics)


def test_a_model_is_asked_for_by_version_and_may_be_an_argument() -> None:
    from headwater.sdk.model import Model
    from headwater.wire.v2 import Signature

    first, second = (Model(digest * 64, "onnx", Signature((), ()), {}, 10) for digest in "ab")

    @step
    def digests(given: Model) -> list[str]:
        return [given.digest, model("delay", version=2).digest, model("delay@1").digest]

    @flow(project="p")
    def used() -> Any:
        register("delay", first, serve=None)
        seen = model("delay")
        register("delay", second, serve=None)
        return digests(seen).result(), model("delay").digest

    assert used() == ([first.digest, second.digest, first.digest], first.digest)  # seen once, seen ever after


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "delay", "version": 3}, "has no version 3"),
        ({"name": "delay", "alias": "champion"}, "called directly knows no aliases"),
        ({"name": "delay@1", "version": 1}, "asks for two versions at once"),
        ({"name": "delay", "version": 1, "alias": "champion"}, "asks for two versions at once"),
        ({"name": "delay@"}, "names no model"),
        ({"name": "dalay"}, "Did you mean 'delay'"),
    ],
)
def test_a_model_that_is_not_there_is_refused(asked: dict[str, Any], words: str) -> None:
    from headwater.sdk.model import Model
    from headwater.wire.v2 import Signature

    @flow(project="p")
    def used() -> Any:
        register("delay", Model("d" * 64, "onnx", Signature((), ()), {}, 10), serve=None)
        return model(**asked)

    with pytest.raises(HeadwaterError, match=words):
        used()


def nothing() -> None: ...


def test_two_triggers_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two triggers are named 'event:a'"):
        flow(project="p", on=[on.event("a"), on.event("a", where="data.x > 1")])(nothing)


def test_what_is_no_trigger_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no trigger"):
        flow(project="p", on=["a"])(nothing)  # type: ignore[list-item]


def test_a_state_that_no_run_ends_in_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'FAILED'"):
        on.finished("clean", state="FAILD")


def test_the_users_own_exception_passes_through_a_direct_call() -> None:
    @flow(project="p")
    def made() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        made()


def test_step_failed_survives_pickling() -> None:
    import pickle

    from headwater.wire.terms import Failure

    error = StepFailed(Failure(kind="timeout", message="late", step="fit"))
    assert pickle.loads(pickle.dumps(error)).failure == error.failure


def test_importing_what_flows_need_costs_no_arrow_ray_or_pydantic() -> None:
    code = (
        "import sys; from headwater.sdk import flow, step, on, register, publish, current, gather, model; "
        "print([m for m in ('pyarrow', 'ray', 'pydantic', 'numpy', 'sqlalchemy') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_loaded_module_never_takes_the_place_of_a_name() -> None:
    from headwater import sdk

    assert callable(sdk.flow)
    assert callable(sdk.model)
    assert callable(sdk.step)
