"""Ray's processes on this machine, head or not: started in their environment, known by pid, surely ended.

`start` runs `ray_node` in a process that has the cluster's environment. Ray's files lie in a short folder
below the system's temporary one, because unix sockets hold 107 characters; it is private and named after
`folder`, so that the next life finds what a SIGKILL left. Ending is by pid: the raylet first, which takes
its workers with it, then the GCS, then whatever still carries this folder's mark.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from ..errors import Conflict, Unavailable
from .fork_client import warm
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
from .ray_environment import LOOPBACK_FOLDER
from .ray_node import Order

MARK = "HEADWATER_RAY_TREE"  # in the environment of Ray's own processes, never in a driver's
FIRST_JOB = "01000000"
AT_ONCE_S = 0.5
SHORT = 12  # HAProxy takes 97 characters for a socket, of which Serve needs 70


@dataclass(frozen=True, slots=True)
class Patience:
    ready_within_s: float = 90.0
    stop_within_s: float = 15.0


PATIENT = Patience()


class RayProcesses:
    """What of Ray belongs to `folder`. `start` and `stop` are idempotent."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.folder, self._patience = folder.absolute(), patience
        self._keeper: Child | None = None
        self._fork_server: Child | None = None
        self._processes: dict[str, ProcessId] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Ray's own processes by role (`gcs_server`, `raylet`), those that live."""
        return {role: known.pid for role, known in self._processes.items() if is_alive(known)}

    @property
    def temp(self) -> Path:
        mark = hashlib.sha256(f"{os.getuid()} {self.folder}".encode()).hexdigest()[:10]
        root = tempfile.gettempdir()
        return Path(root if len(root) <= SHORT else "/tmp") / f"hw-{mark}"

    @property
    def fork_place(self) -> Path:
        """The socket of this machine's warm process."""
        return self.temp / "fork.sock"

    @property
    def log(self) -> Path:
        return self.folder / "ray.log"

    def is_alive(self) -> bool:
        return bool(self._processes) and all(is_alive(known) for known in self._processes.values())

    def clear_the_place(self) -> None:
        """Ends what an earlier life left, and makes the folders."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        end_leftovers(self.folder / "ray.pid", grace_s=0.5)
        end(marked(self.temp), grace_s=0.5)
        self._keep_logs()
        make_private(self.temp)
        serve = self.temp / "s"
        serve.mkdir(mode=0o700)
        wrapper = serve / "haproxy.sh"
        wrapper.write_text((LOOPBACK_FOLDER / "haproxy.sh").read_text())
        wrapper.chmod(0o700)

    def start(self, order: Order, environment: Mapping[str, str]) -> None:
        """Returns once they run; raises Unavailable with what they last said, and nothing left."""
        if order.fork_server:
            self._start_fork_server(environment, "node" if order.joins else "head")
        self._start_node(order, environment)
        if order.fork_server:
            self._warm_fork_server()

    def stop(self) -> None:
        """Ends them with every worker, replica and proxy in it; keeps Ray's logs in the folder."""
        in_order = self.is_alive()  # a raylet whose GCS is gone waits for it in vain
        self._end(within_s=self._patience.stop_within_s if in_order else AT_ONCE_S)

    def abandon(self) -> None:
        """The same where the head is gone: nothing can end in order."""
        self._end(within_s=AT_ONCE_S)

    def _end(self, *, within_s: float) -> None:
        ending = dict(self._processes)
        below = [child for known in ending.values() for child in descendants(known)]
        for role in ("raylet", *ending):
            if role in ending:
                end([ending.pop(role)], grace_s=within_s)
        end(below, grace_s=1.0)
        if self._fork_server is not None:
            self._fork_server.end()
            self._fork_server = None
        end(marked(self.temp), grace_s=1.0)
        if self._keeper is not None:
            self._keeper.end()
        self._keeper, self._processes = None, {}
        (self.folder / "ray.pid").unlink(missing_ok=True)
        self._keep_logs()

    def _start_fork_server(self, environment: Mapping[str, str], kind: str) -> None:
        """Beside Ray's own start, which takes as long as its first imports."""
        argv = [sys.executable, "-P", "-m", "headwater.local.fork_server", str(self.fork_place), kind]
        log, pid_file = self.folder / "fork_server.log", self.folder / "fork_server.pid"
        self._fork_server = start(argv, log=log, pid_file=pid_file, env=self._with_mark(environment), grace_s=2.0)

    def _warm_fork_server(self) -> None:
        """The platform's driver is the first job of its cluster; workers of a later job start the slow way."""
        known = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(self._processes["raylet"].pid)}
        with suppress(OSError):  # then the first worker that is asked for tells it
            warm(str(self.fork_place), known)

    def _start_node(self, order: Order, environment: Mapping[str, str]) -> None:
        answer = Path(order.answer)
        answer.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "headwater.local.ray_node", msgspec.json.encode(order).decode()]
        pid_file = self.folder / "ray.pid"
        self._keeper = start(argv, log=self.log, pid_file=pid_file, env=self._with_mark(environment), grace_s=2.0)
        try:
            pids = self._wait_for(answer, self._keeper)
        except Unavailable:
            self.stop()
            raise
        found = {role: identify(pid) for role, pid in pids.items()}
        self._processes = {role: known for role, known in found.items() if known is not None}
        ours = [each.known for each in (self._keeper, self._fork_server) if each is not None and each.known]
        remember(pid_file, [*self._processes.values(), *ours])

    def _with_mark(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **environment, MARK: str(self.temp)}

    def _wait_for(self, answer: Path, keeper: Child) -> dict[str, int]:
        within_s = self._patience.ready_within_s
        deadline = time.monotonic() + within_s
        while not answer.exists():
            if not keeper.is_alive():
                what = f"Ray ended while starting (status {keeper.process.returncode})"
            elif time.monotonic() > deadline:
                what = f"Ray did not start within {within_s:g} s"
            else:
                time.sleep(0.02)
                continue
            raise gave_up(what, self.log)
        return msgspec.json.decode(answer.read_bytes(), type=dict[str, int])

    def _keep_logs(self) -> None:
        """Ray's logs of the life that ended replace those of the one before; its other files go."""
        logs = sorted(self.temp.glob("session_2*/logs"))
        if logs:
            kept = self.folder / "ray_logs"
            shutil.rmtree(kept, ignore_errors=True)
            with suppress(OSError):
                shutil.move(logs[-1], kept)
        shutil.rmtree(self.temp, ignore_errors=True)


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
