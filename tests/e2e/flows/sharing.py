"""Flows that share devices: one makes way for another, and ranks work together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import time

from headwater.sdk import Table, current, flow, step


@flow(project="eta")
def points(rows: int) -> None:
    """A table of points near a line."""
    make_points(rows).result()


@step
def make_points(rows: int) -> None:
    import numpy as np
    import pyarrow as pa

    for x in np.array_split(np.random.default_rng(5).normal(size=rows), 4):
        Table("lake.points").append(pa.table({"x": x, "y": 2 * x + 1}))


@flow(project="eta")
def learn(gate: int) -> dict[str, str]:
    """The line through the points. With a gate, its first attempt stands still half way until it is to make way."""
    learned: dict[str, str] = fit_line(Table("lake.points"), gate).result()
    return learned


@step(gpus=1)
def fit_line(table: Table, gate: int) -> dict[str, str]:
    import numpy as np

    weights, order, position = current().restored or (np.zeros(2), "", None)
    began = position.rows if position else 0
    stream = table.stream(batch_rows=64, seed=11, position=position)
    for batch in stream:
        x, y = (np.asarray(batch.column(name)) for name in ("x", "y"))
        inputs = np.stack([x, np.ones_like(x)])
        weights = weights - 0.05 * inputs @ (weights @ inputs - y) / len(x)
        order = hashlib.sha256(order.encode() + x.tobytes()).hexdigest()
        if gate and current().attempt == 1 and stream.position.rows * 2 > stream.rows_total:
            stand_until_preempted(gate)
        if current().preempting:
            current().checkpoint((weights, order, stream.position))
    rows = stream.position.rows
    return {"weights": weights.tobytes().hex(), "order": order, "rows": str(rows), "began at row": str(began)}


def stand_until_preempted(gate: int) -> None:
    with socket.create_connection(("127.0.0.1", gate)) as line:
        line.sendall(json.dumps({"pid": os.getpid(), "attempt": current().attempt}).encode() + b"\n")
        while not current().preempting:
            time.sleep(0.01)


@flow(project="eta")
def count_together() -> dict[str, int]:
    """The rows of the table, counted by three ranks; one dies of the first attempt."""
    counted: dict[str, int] = count_part(Table("lake.points")).result()
    return counted


@step(gang=3, cpus=0.2, retries=1, backoff=0)
def count_part(table: Table) -> dict[str, int]:
    here = current()
    if here.attempt == 1 and here.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    mine = sum(batch.num_rows for batch in table.stream(batch_rows=64, shard="gang"))
    return {"mine": mine, "all": summed(mine), "ranks": here.world_size, "rank": int(os.environ["RANK"])}


def summed(number: int) -> int:
    """Over all ranks: rank 0 hears the others at the address that the platform gave them."""
    here = current()
    if here.rank:
        with met(here.master) as to_master, to_master.makefile("rw") as words:
            print(number, file=words, flush=True)
            return int(words.readline())
    with socket.create_server(here.master) as listener, contextlib.ExitStack() as open_lines:
        listener.settimeout(0.1)  # Python gets a word in between, so that it can be stopped
        lines = [open_lines.enter_context(heard(listener).makefile("rw")) for _ in range(here.world_size - 1)]
        total = number + sum(int(line.readline()) for line in lines)
        for line in lines:
            print(total, file=line, flush=True)
        return total


def heard(listener: socket.socket) -> socket.socket:
    while True:
        try:
            line, _ = listener.accept()
        except TimeoutError:
            continue
        line.settimeout(None)
        return line


def met(address: tuple[str, int]) -> socket.socket:
    while True:
        try:
            return socket.create_connection(address)
        except ConnectionRefusedError:
            time.sleep(0.01)
