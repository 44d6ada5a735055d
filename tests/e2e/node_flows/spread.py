"""Flows whose steps ask for a kind of GPU that only some nodes of a cluster have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np

from headwater.sdk import current, flow, step


@flow(project="eta")
def side_by_side(gate: int, model: str, count: int) -> list[str]:
    """Steps that stand at the gate at once, each on two GPUs of the model; the devices that each saw."""
    standing = [stand.options(gpus=2, gpu_model=model)(gate, number) for number in range(count)]
    return [each.result() for each in standing]


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
