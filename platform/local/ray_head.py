"""A Ray head of our own on loopback: started, joined with a secret, ended by pid.

`start` runs `ray_node` in a process that has the cluster's environment; drivers must have it too
(`environment`) before they import ray. Ray's files lie in a short folder below the system's temporary
one, because unix sockets hold 107 characters; it is private and named after `folder`, so that the
next life finds what a SIGKILL left. Ending is by pid: the raylet first, which takes its workers with
it, then the GCS, then whatever still carries this cluster's mark.

Workers are forks of a `fork_server` of this cluster's own, that imports while Ray starts; `fork_workers=False`
leaves each to import for itself.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from ..errors import Conflict, Unavailable
from .fork_client import warm
from .ports import LOOPBACK, claim, free_ports
from .processes import (
    Child,
    ProcessId,
    descendants,
    end,
    end_leftovers,
    gave_up,
    identify,
    is_alive,
    remember,
    start,
)
from .ray_environment import LOOPBACK_FOLDER, choose_serve_ports, ray_environment
from .ray_node import Order

MARK = "HEADWATER_RAY_TREE"  # in the environment of Ray's own processes, never in a driver's
CPUS_MIN = 4  # Ray counts, we place: its own bookkeeping must not hold anyone up
FIRST_JOB = "01000000"
SHORT = 12  # HAProxy takes 97 characters for a socket, of which Serve needs 70


class RayHead:
    """One Ray head whose state is in `folder`; port 0 takes a free one. `start` and `stop` are idempotent.

    Ray is told of no GPU: devices are leased by the platform, never by Ray.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        cpus: int | None = None,
        object_store_bytes: int = 200_000_000,
        ready_within_s: float = 90.0,
        stop_within_s: float = 15.0,
        fork_workers: bool = True,
    ) -> None:
        self._folder, self._port, self._cpus = folder.absolute(), port, cpus
        self._object_store_bytes = object_store_bytes
        self._ready_within_s, self._stop_within_s = ready_within_s, stop_within_s
        self._fork_workers = fork_workers
        self._environment: dict[str, str] = {}
        self._keeper: Child | None = None
        self._fork_server: Child | None = None
        self._processes: dict[str, ProcessId] = {}

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a driver adds to its own before it imports ray; empty before `start`."""
        return dict(self._environment)

    @property
    def pids(self) -> dict[str, int]:
        """Ray's own processes by role (`gcs_server`, `raylet`), those that live."""
        return {role: known.pid for role, known in self._processes.items() if is_alive(known)}

    @property
    def temp(self) -> Path:
        mark = hashlib.sha256(f"{os.getuid()} {self._folder}".encode()).hexdigest()[:10]
        root = tempfile.gettempdir()
        return Path(root if len(root) <= SHORT else "/tmp") / f"hw-{mark}"

    @property
    def log(self) -> Path:
        return self._folder / "ray.log"

    def is_alive(self) -> bool:
        return bool(self._processes) and all(is_alive(known) for known in self._processes.values())

    def start(self) -> str:
        """The address to join, once Ray's processes run; raises Unavailable with what they last said."""
        if self.is_alive():
            return self.address
        self._clear_the_place()
        self._port = claim(self._port, whose="Ray", setting="HEADWATER_RAY__PORT")
        token = write_token(self._folder / "ray_token")
        self._environment = ray_environment(temp=self.temp, token=token, serve=choose_serve_ports())
        if self._fork_workers:
            self._start_fork_server()
        self._start_node()
        if self._fork_workers:
            self._warm_fork_server()
        return self.address

    def stop(self) -> None:
        """Ends the cluster with every worker, replica and proxy in it; keeps Ray's logs in the folder."""
        ending = dict(self._processes)
        below = [child for known in ending.values() for child in descendants(known)]
        in_order = self.is_alive()  # a raylet whose GCS is gone waits for it in vain
        for role in ("raylet", *ending):
            if role in ending:
                end([ending.pop(role)], grace_s=self._stop_within_s if in_order else 0.5)
        end(below, grace_s=1.0)
        if self._fork_server is not None:
            self._fork_server.end()
            self._fork_server = None
        end(marked(self.temp), grace_s=1.0)
        if self._keeper is not None:
            self._keeper.end()
        self._keeper, self._processes = None, {}
        (self._folder / "ray.pid").unlink(missing_ok=True)
        self._keep_logs()

    def _clear_the_place(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_leftovers(self._folder / "ray.pid", grace_s=0.5)
        end(marked(self.temp), grace_s=0.5)
        self._keep_logs()
        make_private(self.temp)
        serve = self.temp / "s"
        serve.mkdir(mode=0o700)
        wrapper = serve / "haproxy.sh"
        wrapper.write_text((LOOPBACK_FOLDER / "haproxy.sh").read_text())
        wrapper.chmod(0o700)

    @property
    def _fork_place(self) -> Path:
        return self.temp / "fork.sock"

    def _start_fork_server(self) -> None:
        """Beside Ray's own start, which takes as long as its first imports."""
        argv = [sys.executable, "-P", "-m", "headwater.local.fork_server", str(self._fork_place)]
        environment = {**os.environ, **self._environment, MARK: str(self.temp)}
        log, pid_file = self._folder / "fork_server.log", self._folder / "fork_server.pid"
        self._fork_server = start(argv, log=log, pid_file=pid_file, env=environment, grace_s=2.0)

    def _warm_fork_server(self) -> None:
        """The platform's driver is the first job of its cluster; workers of a later job start the slow way."""
        known = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(self._processes["raylet"].pid)}
        with suppress(OSError):  # then the first worker that is asked for tells it
            warm(str(self._fork_place), known)

    def _start_node(self) -> None:
        answer = self._folder / "ray.started"
        answer.unlink(missing_ok=True)
        order = Order(
            temp=str(self.temp),
            gcs_port=self._port,
            cpus=self._cpus or max(CPUS_MIN, os.cpu_count() or 1),
            object_store_bytes=self._object_store_bytes,
            runtime_env_port=free_ports(1)[0],
            answer=str(answer),
            fork_server=str(self._fork_place) if self._fork_workers else "",
        )
        argv = [sys.executable, "-m", "headwater.local.ray_node", msgspec.json.encode(order).decode()]
        environment = {**os.environ, **self._environment, MARK: str(self.temp)}
        pid_file = self._folder / "ray.pid"
        self._keeper = start(argv, log=self.log, pid_file=pid_file, env=environment, grace_s=2.0)
        try:
            pids = self._wait_for(answer, self._keeper)
        except Unavailable:
            self.stop()
            raise
        found = {role: identify(pid) for role, pid in pids.items()}
        self._processes = {role: known for role, known in found.items() if known is not None}
        ours = [each.known for each in (self._keeper, self._fork_server) if each is not None and each.known]
        remember(pid_file, [*self._processes.values(), *ours])

    def _wait_for(self, answer: Path, keeper: Child) -> dict[str, int]:
        deadline = time.monotonic() + self._ready_within_s
        while not answer.exists():
            if not keeper.is_alive():
                what = f"Ray ended while starting (status {keeper.process.returncode})"
            elif time.monotonic() > deadline:
                what = f"Ray did not start within {self._ready_within_s:g} s"
            else:
                time.sleep(0.02)
                continue
            raise gave_up(what, self.log)
        return msgspec.json.decode(answer.read_bytes(), type=dict[str, int])

    def _keep_logs(self) -> None:
        """Ray's logs of the life that ended replace those of the one before; its other files go."""
        logs = sorted(self.temp.glob("session_2*/logs"))
        if logs:
            kept = self._folder / "ray_logs"
            shutil.rmtree(kept, ignore_errors=True)
            with suppress(OSError):
                shutil.move(logs[-1], kept)
        shutil.rmtree(self.temp, ignore_errors=True)


def write_token(path: Path) -> Path:
    """A fresh secret for each start, readable by its owner only."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
        private.write(secrets.token_hex(32))
    return path


def make_private(folder: Path) -> None:
    """`folder` is ours and nobody else can look in; raises Conflict where someone else made it first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Conflict(f"{folder} belongs to someone else", remedy="Set TMPDIR to a folder of your own")
    folder.chmod(0o700)


def marked(temp: Path) -> list[ProcessId]:
    """Processes that Ray started for the cluster in `temp`, however far they have strayed from it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(temp):
                found.append(identify(process.pid))
    return [each for each in found if each is not None]
