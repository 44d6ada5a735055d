"""A platform of several nodes on one machine: the head, and machines that are processes with a raylet of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import psutil

from headwater.cli.demo import Place
from headwater.local.ray_processes import MARK, PATIENT, RayProcesses, marked
from headwater.sdk import Client
from headwater.wire.api.nodes import NodeView

from .life import FREE_PORTS, argv_of, environment, headwater, homes, place_of

WITHIN_S = 120.0
OLD, NEW = "T4", "H100"
MODELS: Mapping[str, str] = MappingProxyType({"n2": OLD, "n3": NEW, "n4": NEW})
SETTINGS = """
node = "n1"

[leases]
claim_within_s = 60.0
stop_grace_s = 3.0
empty_within_s = 4.0

[ray]
fork_workers = true
object_store_bytes = 80_000_000

[quota]
version = 1

[quota.cohort.local.projects.eta]
gpu = { nominal = 7 }
cpu = { nominal = 100 }
memory = { nominal = "200GiB" }

[quota.cohort.local.projects.flights]
gpu = { nominal = 0 }
"""


class Cluster:
    """The head n1 has one logical GPU; n2 has two T4, n3 and n4 two H100 each."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._joins: dict[str, subprocess.Popen[bytes]] = {}

    def join(self, *names: str) -> None:
        """Returns when the GpuPool has them."""
        for name in names:
            words: tuple[str, ...] = ("node", "join", "--home", str(self.place.home), "--name", name, "--gpus", "2")
            words += ("--gpu-model", MODELS[name], "--gpu-memory", "80GiB", "--label", f"rack=r{name}")
            with (self.place.home / "logs" / f"{name}.log").open("ab") as log:
                self._joins[name] = subprocess.Popen(argv_of(*words), env=environment(None), stdout=log, stderr=log)
        with Client(self.place.url, self.place.token) as hw:
            until(lambda: all(node_of(hw, name).state == "READY" for name in names))

    def join_again(self) -> None:
        """Those that have died or left, once the platform knows it."""
        away = [name for name in MODELS if name not in self._joins]
        with Client(self.place.url, self.place.token) as hw:
            until(lambda: all(node_of(hw, name).state == "LEFT" for name in away))
        self.join(*away)

    def die(self, name: str) -> None:
        """As a power cut would end the machine: everything on it at once."""
        self._end(name, signal.SIGKILL)

    def cut_off(self, name: str) -> None:
        """Everything on the machine is stopped, and nobody hears of it any more; until it dies."""
        for pid in (self._joins[name].pid, *(known.pid for known in marked(self._temp(name)))):
            os.kill(pid, signal.SIGSTOP)

    def leave(self, name: str) -> None:
        """Asks the node to leave in order, and does not wait."""
        self._joins[name].send_signal(signal.SIGTERM)

    def left(self, name: str) -> None:
        self._joins.pop(name).wait(WITHIN_S)

    def lives_on(self, name: str, pid: int) -> bool:
        """Whether that process belongs to the node."""
        return bool(psutil.Process(pid).environ().get(MARK) == str(self._temp(name)))

    def end(self) -> None:
        for name in list(self._joins):
            self._end(name, signal.SIGKILL)

    def _end(self, name: str, number: int) -> None:
        process = self._joins.pop(name)
        process.send_signal(number)
        for known in marked(self._temp(name)):
            os.kill(known.pid, number)
        process.wait(WITHIN_S)

    def _temp(self, name: str) -> Path:
        return RayProcesses(self.place.home / "nodes" / name, PATIENT).temp


@contextmanager
def cluster_of(*names: str) -> Iterator[Cluster]:
    with homes() as folder:
        (folder / "cluster.toml").write_text(SETTINGS)
        words = ("--home", str(folder / "home"), "--config", str(folder / "cluster.toml"), "--gpus", "1", "--detach")
        done = headwater("up", *words, *FREE_PORTS)
        assert done.code == 0, done.err
        cluster = Cluster(place_of(folder / "home"))
        try:
            cluster.join(*names)
            yield cluster
        finally:
            cluster.end()


def node_of(hw: Client, name: str) -> NodeView:
    """The node as the platform sees it; one that it has never seen is LEFT."""
    found = (node for node in hw.nodes() if node.id == name)
    return next(found, NodeView(id=name, state="LEFT", cpus_milli=0, memory_bytes=0))


def until(true: Callable[[], bool]) -> None:
    """Looks at what the platform tells nobody about."""
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
