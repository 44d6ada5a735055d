"""A gang that learns a line together, each rank from its own part of a table, and may be told to make way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.sdk import Table, current, flow, step

ROWS, BATCH, STAND_AFTER = 2_000, 64, 6


@flow(project="eta")
def dots() -> None:
    """A table of points near a line."""
    make_dots().result()


@step
def make_dots() -> None:
    for x in np.array_split(np.random.default_rng(7).normal(size=ROWS), 4):
        Table("lake.dots").append(pa.table({"x": x, "y": 3 * x - 1}))


@flow(project="eta")
def learn_together(gate: int, model: str) -> dict[str, Any]:
    """What the gang has learned. With a gate, its first attempt stands still on its way until it is to make way."""
    learned: dict[str, Any] = fit_together.options(gpu_model=model)(Table("lake.dots"), gate).result()
    return learned


@step(gang=2, gpus=2, cpus=0.2)
def fit_together(table: Table, gate: int) -> dict[str, Any]:
    """Gradients meet at rank 0, which saves the weights with the position of every rank."""
    here = current()
    weights: Any = np.zeros(2)
    parts: list[tuple[str, Any]] = [("", None)] * here.world_size
    if here.restored is not None:
        weights, parts = here.restored
    order, position = parts[here.rank]
    began = sum(at.rows for _, at in parts if at is not None)
    stream = table.stream(batch_rows=BATCH, seed=11, shard="gang", position=position)
    with lines_to_others() as lines:
        for done, batch in enumerate(until_all_are_done(stream), start=1):
            gradient = None if batch is None else slope(weights, batch)
            order = order if batch is None else followed(order, batch)
            said = meet(lines, (gradient, order, stream.position))
            gradients = [each[0] for each in said if each[0] is not None]
            if not gradients:
                break
            weights = weights - 0.05 * sum(gradients) / len(gradients)
            parts = [each[1:] for each in said]
            if gate and here.attempt == 1 and done == STAND_AFTER and here.rank == 0:
                stand_until_preempted(gate)
            if here.preempting and here.rank == 0:
                here.checkpoint((weights, parts))
    rows = sum(at.rows for _, at in parts)
    return {"weights": weights.tobytes().hex(), "order": [each for each, _ in parts], "rows": rows, "began": began}


def slope(weights: Any, batch: Any) -> Any:
    x, y = (np.asarray(batch.column(name)) for name in ("x", "y"))
    inputs = np.stack([x, np.ones_like(x)])
    return inputs @ (weights @ inputs - y) / len(x)


def followed(order: str, batch: Any) -> str:
    """What tells which rows came so far, and in which order."""
    return hashlib.sha256(order.encode() + np.asarray(batch.column("x")).tobytes()).hexdigest()


def until_all_are_done(stream: Any) -> Iterator[Any]:
    """The batches, and then None for as long as others still have some."""
    yield from stream
    while True:
        yield None


@contextlib.contextmanager
def lines_to_others() -> Iterator[list[socket.socket]]:
    """Of rank 0 a line to each of the others, of these one to rank 0."""
    here = current()
    with contextlib.ExitStack() as opened:
        if here.rank:
            yield [opened.enter_context(met(here.master))]
            return
        listener = opened.enter_context(socket.create_server(here.master))
        listener.settimeout(0.1)
        yield [opened.enter_context(accepted(listener)) for _ in range(here.world_size - 1)]


def meet(lines: list[socket.socket], mine: Any) -> list[Any]:
    """What every rank said, in their order."""
    if current().rank:
        send(lines[0], mine)
        heard: list[Any] = receive(lines[0])
        return heard
    said = [mine, *(receive(line) for line in lines)]
    for line in lines:
        send(line, said)
    return said


def send(line: socket.socket, value: Any) -> None:
    packed = pickle.dumps(value)
    line.sendall(struct.pack("!I", len(packed)) + packed)


def receive(line: socket.socket) -> Any:
    (length,) = struct.unpack("!I", exactly(line, 4))
    return pickle.loads(exactly(line, length))


def exactly(line: socket.socket, count: int) -> bytes:
    """Python gets a word in between, so that the rank can be stopped."""
    found = b""
    while len(found) < count:
        try:
            part = line.recv(count - len(found))
        except TimeoutError:
            continue
        if not part:
            raise ConnectionError("another rank is gone")
        found += part
    return found


def accepted(listener: socket.socket) -> socket.socket:
    while True:
        with contextlib.suppress(TimeoutError):
            line, _ = listener.accept()
            line.settimeout(0.1)
            return line


def met(address: tuple[str, int]) -> socket.socket:
    while True:
        try:
            line = socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            line.settimeout(0.1)
            return line


def stand_until_preempted(gate: int) -> None:
    with socket.create_connection(("127.0.0.1", gate)) as line:
        line.sendall(json.dumps({"pid": os.getpid(), "attempt": current().attempt}).encode() + b"\n")
        while not current().preempting:
            time.sleep(0.01)
