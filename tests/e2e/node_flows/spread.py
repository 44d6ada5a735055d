"""Flows whose steps ask for a kind of GPU that only some nodes of a cluster have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
from onnx import TensorProto, helper

from headwater.sdk import Model, Serving, current, flow, register, step


@flow(project="eta")
def side_by_side(gate: int, model: str, count: int) -> list[str]:
    """Steps that stand at the gate at once, each on two GPUs of the model; the devices that each saw."""
    standing = [stand.options(gpus=2, gpu_model=model)(gate, number) for number in range(count)]
    return [each.result() for each in standing]


@flow(project="eta")
def small_ones(gate: int, model: str, count: int) -> list[str]:
    """Steps of one GPU, each at the gate."""
    standing = [stand_anywhere.options(gpu_model=model)(gate, number) for number in range(count)]
    return [each.result() for each in standing]


@flow(project="flights")
def take_back(gate: int, model: str) -> str:
    """A step of two GPUs, for their owner."""
    seen: str = stand.options(gpus=2, gpu_model=model)(gate, 0).result()
    return seen


@flow(project="eta")
def one_after_another(gate: int, first: str, then: str) -> float:
    """A large result made on one kind of node and read on another, with a wait between."""
    made = make.options(gpu_model=first)(400_000)
    stand.options(gpus=1, gpu_model=then)(gate, 0).result()
    total: float = add_up.options(gpu_model=then)(made).result()
    return total


@flow(project="eta")
def leave_behind(gate: int, model: str) -> int:
    """A step that leaves a process behind, and stands at the gate."""
    attempt: int = stand_with_child.options(gpu_model=model)(gate).result()
    return attempt


@flow(project="eta")
def make_twice(gate: int, model: str) -> float:
    """A large result that tells which attempt made it, after a stand at the gate; how often the attempt is in it."""
    made: np.ndarray = make_at.options(gpu_model=model)(gate).result()
    return float(made.sum())


@step(gpus=1)
def make_at(gate: int) -> np.ndarray:
    wait_at(gate)
    return np.full(100_000, float(current().attempt))


@step(gpus=1)
def make(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float64)


@step(gpus=1)
def add_up(values: np.ndarray) -> float:
    return float(values.sum())


@step
def stand(gate: int, number: int) -> str:
    wait_at(gate)
    return os.environ.get("CUDA_VISIBLE_DEVICES", "unset")


@step(gpus=1)
def stand_anywhere(gate: int, number: int) -> str:
    wait_at(gate)
    return os.environ.get("CUDA_VISIBLE_DEVICES", "unset")


@step(gpus=1)
def stand_with_child(gate: int) -> int:
    if current().attempt == 1:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    wait_at(gate)
    return current().attempt


def wait_at(gate: int) -> None:
    """Says who it is at a port, and stands there; Python gets a word in between, so that it can be stopped."""
    with socket.create_connection(("127.0.0.1", gate)) as line:
        line.sendall(json.dumps({"pid": os.getpid(), "attempt": current().attempt}).encode() + b"\n")
        line.settimeout(0.1)
        while True:
            try:
                word = line.recv(1)
            except TimeoutError:
                continue
            if word:
                return
            raise ConnectionError("the gate is gone")


@flow(project="eta")
def hand_in_hand(gate: int, model: str) -> list[str]:
    """Who took part in the attempt that got through, rank by rank."""
    names: list[str] = join_hands.options(gpu_model=model)(gate).result()
    return names


@step(gang=(2, 4), gpus=1, cpus=0.2)
def join_hands(gate: int) -> list[str]:
    """Rank 0 hears from each of the others, waits at the gate, and lets them go."""
    here = current()
    if here.rank:
        with met(here.master) as line:
            line.sendall(f"rank {here.rank}".encode())
            line.settimeout(0.1)
            return [] if heard(line) else ["rank 0 is gone"]
    with socket.create_server(here.master) as listener:
        listener.settimeout(0.1)
        lines = [accepted(listener) for _ in range(here.world_size - 1)]
        names = [heard(line).decode() for line in lines]
        wait_at(gate)
        for line in lines:
            line.sendall(b".")
            line.close()
        return ["rank 0", *sorted(names)]


def accepted(listener: socket.socket) -> socket.socket:
    while True:
        try:
            line, _ = listener.accept()
        except TimeoutError:
            continue
        line.settimeout(0.1)
        return line


def heard(line: socket.socket) -> bytes:
    while True:
        try:
            return line.recv(100)
        except TimeoutError:
            continue


def met(address: tuple[str, int]) -> socket.socket:
    while True:
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.01)


@flow(project="eta")
def serve_on(model: str, name: str, replicas: int) -> None:
    """A served model of so many replicas, each on two GPUs of the kind."""
    register(name, make_adder(), serve=Serving(replicas, replicas, gpus=2, gpu_model=model))


@step
def make_adder() -> Model:
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("sum", TensorProto.DOUBLE, ["rows"])
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "adder", inputs, [output])
    return Model.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))
