"""Where on a node a gang could go: the rooms that would be left, for many nodes at once.

Shares of one rank may go to any device with enough left, devices with as much left being alike. Everything
else has one way: whole devices the first that are empty, shares of several ranks the fullest devices first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..messages import Demand
from .node import WHOLE
from .potential import Ints


class Asked(NamedTuple):
    """CPUs and memory of the whole gang, GPU of each of its ranks."""

    cpus: int
    memory: int
    gpus_milli: int
    ranks: int


class Placings(NamedTuple):
    """`rooms`: what would be left; `row`: of which room that was given; `device`: the one shared, or -1."""

    rooms: Ints
    row: NDArray[np.intp]
    device: Ints


def asked_of(demand: Demand) -> Asked:
    ranks = demand.ranks
    return Asked(demand.cpus_milli * ranks, demand.memory_bytes * ranks, demand.gpus_milli, ranks)


def after_each(rooms: Ints, asked: Asked) -> Placings:
    """Every way to place the whole gang on one of the rooms; rooms that do not hold it are not in it."""
    fits = (rooms[:, 0] >= asked.cpus) & (rooms[:, 1] >= asked.memory)
    if 0 < asked.gpus_milli < WHOLE and asked.ranks == 1:
        row, device = _choices(rooms, fits, asked.gpus_milli)
        left = rooms[row]
        left[np.arange(len(row)), device + 2] -= asked.gpus_milli
    else:
        if asked.gpus_milli:
            fits &= _ranks(rooms[:, 2:], asked.gpus_milli) >= asked.ranks
        row = np.flatnonzero(fits)
        device, left = np.full(len(row), -1, np.int64), rooms[row]
        if asked.gpus_milli:
            left[:, 2:] -= _taken(left[:, 2:], asked)
    left[:, 0] -= asked.cpus
    left[:, 1] -= asked.memory
    return Placings(left, row, device)


def ranks_held(rooms: Ints, demand: Demand) -> Ints:
    """How many ranks of the demand each room holds, at most all."""
    ranks = np.full(len(rooms), demand.ranks, np.int64)
    for column, each in ((0, demand.cpus_milli), (1, demand.memory_bytes)):
        ranks = np.minimum(ranks, rooms[:, column] // each if each else np.where(rooms[:, column] < 0, 0, ranks))
    return np.maximum(0, np.minimum(ranks, _ranks(rooms[:, 2:], demand.gpus_milli)) if demand.gpus_milli else ranks)


def _ranks(devices: Ints, milli: int) -> Ints:
    if milli >= WHOLE:
        return np.asarray((devices >= WHOLE).sum(axis=1) // (milli // WHOLE))
    return np.asarray((devices // milli).sum(axis=1))


def _choices(rooms: Ints, fits: NDArray[np.bool_], milli: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    devices = rooms[:, 2:]
    chosen = (devices >= milli) & fits[:, None]
    row, device = np.nonzero(chosen)
    if len(row) > len(rooms):  # several devices a node: of those with as much left only the first
        for later in range(1, devices.shape[1]):
            chosen[:, later] &= (devices[:, :later] != devices[:, later : later + 1]).all(axis=1)
        row, device = np.nonzero(chosen)
    return row, device


def _taken(devices: Ints, asked: Asked) -> Ints:
    if asked.gpus_milli >= WHOLE:
        empty = devices >= WHOLE
        return np.where(empty & (np.cumsum(empty, axis=1) <= asked.ranks * asked.gpus_milli // WHOLE), WHOLE, 0)
    order = np.argsort(devices, axis=1, kind="stable")
    holds = np.take_along_axis(devices, order, axis=1) // asked.gpus_milli
    before = np.cumsum(holds, axis=1) - holds
    ranks = np.clip(asked.ranks - before, 0, holds)
    taken = np.zeros_like(devices)
    np.put_along_axis(taken, order, ranks * asked.gpus_milli, axis=1)
    return taken
