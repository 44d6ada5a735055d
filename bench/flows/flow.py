"""What the benchmarks run: trivial work, so that what is measured is the platform."""

from __future__ import annotations

import time

from headwater.sdk import Model, flow, on, register, sleep, step


@flow(project="flights", on=on.event("bench.sent"))
def start(sent_ns: int) -> dict[str, int]:
    """Nanoseconds from the send to the flow's first line, and to its first step's first line."""
    here_ns = time.time_ns()
    there_ns: int = look_at_the_clock().result()
    return {"flow": here_ns - sent_ns, "step": there_ns - sent_ns}


@step
def look_at_the_clock() -> int:
    return time.time_ns()


@flow(project="flights")
def one_after_another(count: int) -> list[int]:
    """How long each of `count` sequential steps took, in nanoseconds, seen from the flow."""
    taken = []
    for _ in range(count):
        before = time.perf_counter_ns()
        look_at_the_clock().result()
        taken.append(time.perf_counter_ns() - before)
    return taken


@flow(project="flights")
def register_adder() -> None:
    register("adder", make_adder())


@step
def make_adder() -> Model:
    """The smallest model there is: the sum of two columns."""
    from onnx import TensorProto, helper

    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("sum", TensorProto.DOUBLE, ["rows"])
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "adder", inputs, [output])
    return Model.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))


@flow(project="flights")
def fan_out(count: int) -> int:
    """The sum of what `count` steps give, all started before the first is asked for."""
    return sum(each.result() for each in [same(number) for number in range(count)])


@step
def same(number: int) -> int:
    return number


@flow(project="flights", on=on.event("bench.rounds"))
def step_and_sleep(rounds: int, pause_s: float) -> int:
    """As many times a trivial step and a durable sleep."""
    for number in range(rounds):
        same(number).result()
        sleep(pause_s)
    return rounds
