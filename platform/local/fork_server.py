"""Warm Python: imports once what every worker of the platform needs, then forks a worker in milliseconds.

A Ray worker spends its first seconds on imports, and a platform starts with a dozen of them. This process
imports before the first is asked for, keeps one thread of Python, opens nothing and never joins Ray: what it
forks is a fresh interpreter with modules. What a fork must not share is made anew in it: the process group (the
raylet ends a worker with its whole group), the seeds of `random` and NumPy. Ray's own generator of ids cannot be
seeded anew, so nothing may draw from it here: `_without_drawing` keeps it so, `_ids_differ` proves it, and
otherwise nothing is forked. A worker whose environment differs in what is read by an import is refused as well;
it then starts the slow way.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import random
import runpy
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

READ_ONCE: Final = ("RAY_JOB_ID", "RAY_RAYLET_PID")  # by Ray's library, when it is loaded
READ_BY_IMPORTS: Final = ("RAY_", "PYTHON", "HEADWATER_")
LOOK_S: Final = 2.0  # how often it looks whether the raylet still lives
ASKED_WITHIN_S: Final = 5.0

LIBRARIES: Final = (
    "aiokafka",
    "cel",
    "fastapi",
    "faust",
    "jsonschema",
    "msgspec",
    "numpy",
    "orjson",
    "psutil",
    "pyarrow",
    "pyarrow.parquet",
    "pydantic",
    "pyiceberg.catalog.sql",
    "sqlalchemy",
    "uvicorn",
)
OURS: Final = (
    "ray._private.workers.default_worker",
    "ray.util.state",
    "ray.serve",
    "ray.serve._private.controller",
    "ray.serve._private.replica",
    "ray.serve._private.proxy",
    "ray.serve._private.haproxy",
    "headwater.actors.roster",
    "headwater.actors.sharing.scheduler",
    "headwater.actors.devices.gpu_pool",
    "headwater.actors.registry",
    "headwater.actors.lake.table_writer",
    "headwater.actors.devices.node_agent",
    "headwater.web.actor",
    "headwater.serve.deployer",
    "headwater.serve.replica",
    "headwater.serve.root",
    "headwater.views.actor",
)
OF_A_NODE: Final = (  # where no owner and no replica lives
    "ray._private.workers.default_worker",
    "ray.util.state",
    "headwater.actors.roster",
    "headwater.actors.devices.node_agent",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A process that is wanted: its command, where it runs, and its standard output and error."""

    argv: tuple[str, ...]
    cwd: str
    environment: dict[str, str]
    fds: tuple[int, ...]


def main(place: str, kind: str = "head") -> None:
    """Serves until the raylet is gone; in each fork it returns from the waiting, and becomes what was asked for."""
    asked = _wait(place, OURS if kind == "head" else OF_A_NODE)
    if asked is not None:
        _become(asked)
        runpy.run_path(asked.argv[1], run_name="__main__")


def _wait(place: str, modules: tuple[str, ...]) -> Asked | None:
    """What this process shall be, in a fork; None in the server, at its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    own = {name: value for name, value in os.environ.items() if name.startswith(READ_BY_IMPORTS)}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(place)
        door.listen(256)
        door.settimeout(LOOK_S)
        _preload(LIBRARIES if modules is OURS else ("numpy", "pyarrow"))
        while _is_wanted():
            with suppress(OSError):  # nobody came, or the asker went away
                asker, _ = door.accept()
                with asker:
                    if (asked := _answer(asker, own, modules)) is not None:
                        return asked
    return None


def _is_wanted() -> bool:
    raylet = os.environ.get("RAY_RAYLET_PID", "")
    return not raylet or Path("/proc", raylet).exists()


def _answer(asker: socket.socket, own: dict[str, str], modules: tuple[str, ...]) -> Asked | None:
    """The order, in the fork that is to follow it; None in the server."""
    asker.settimeout(ASKED_WITHIN_S)
    asked = _read(asker)
    fits = _fits(asked.environment, own, modules)
    if fits and asked.argv and _waits(asker) and os.fork() == 0:
        return asked
    for fd in asked.fds:
        os.close(fd)
    asker.sendall(b"y" if fits else b"n")
    return None


def _waits(asker: socket.socket) -> bool:
    """False once the asker has gone: by then it has become the worker itself, and there must be no second."""
    return not select.select([asker], [], [], 0)[0]


def _read(asker: socket.socket) -> Asked:
    """The order as `fork_client` writes it; raises OSError where the asker goes away before its end."""
    head, fds, _, _ = socket.recv_fds(asker, 4, 2)
    left, parts = int.from_bytes(head, "big"), [b""]
    while left and (part := asker.recv(left)):
        parts.append(part)
        left -= len(part)
    if left or not head:
        for fd in fds:
            os.close(fd)
        raise OSError("the asker went away")
    argv, cwd, environment = marshal.loads(b"".join(parts))
    return Asked(tuple(argv), cwd, environment, tuple(fds))


def _fits(environment: dict[str, str], own: dict[str, str], modules: tuple[str, ...]) -> bool:
    """Whether a fork of this process would be what is asked for. The first order decides what Ray reads."""
    if "ray" not in sys.modules:
        own.update({name: environment.get(name, "") for name in READ_ONCE})
        os.environ.update(own)
        with _without_drawing():
            _preload(modules)
        if not _ids_differ():
            print("forks would share Ray's ids: no worker is forked", file=sys.stderr, flush=True)
            own["RAY_JOB_ID"] = "none"
    return all(environment.get(name) == value for name, value in own.items())


def _preload(names: tuple[str, ...]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"not preloaded: {name}: {error}", file=sys.stderr, flush=True)
    gc.collect()
    gc.freeze()


@contextmanager
def _without_drawing() -> Iterator[None]:
    """Classes of actors that are made by an import get their ids from the system, not from Ray's generator."""
    actor: Any = importlib.import_module("ray.actor")
    drawn = actor.ActorClassID
    actor.ActorClassID = _FromSystem(drawn)
    try:
        yield
    finally:
        actor.ActorClassID = drawn


class _FromSystem:
    def __init__(self, ids: Any) -> None:
        self._ids = ids

    def from_random(self) -> Any:
        return self._ids(os.urandom(self._ids.size()))


def _ids_differ() -> bool:
    """Whether two forks draw different ids, which they do where nothing was drawn before."""
    return len({_drawn_in_a_fork() for _ in range(2)}) == 2


def _drawn_in_a_fork() -> bytes:
    ray: Any = importlib.import_module("ray")
    out, into = os.pipe()
    if os.fork() == 0:
        os.write(into, ray.ObjectID.from_random().binary())
        os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        return answer.read()


def _become(asked: Asked) -> None:
    """Makes this fork the process that was asked for, up to its first line of code."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, fd in enumerate(asked.fds, 1):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(asked.cwd)
    os.environ.clear()
    os.environ.update(asked.environment)
    sys.argv = list(asked.argv[1:])
    sys.path.insert(0, os.path.dirname(asked.argv[1]))
    random.seed()
    numpy: Any = importlib.import_module("numpy")
    numpy.random.seed()


if __name__ == "__main__":
    main(*sys.argv[1:])
