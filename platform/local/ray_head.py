"""A Ray head of our own: started, joined with a secret, ended by pid. On loopback, unless told another address.

Drivers must have the cluster's environment (`environment`) before they import ray. Workers are forks of a
`fork_server` of this machine's own, that imports while Ray starts; `fork_workers=False` leaves each to import
for itself.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .ports import LOOPBACK, claim, free_ports
from .ray_environment import choose_serve_ports, ray_environment
from .ray_node import Order
from .ray_processes import PATIENT, Patience, RayProcesses, make_private, marked

__all__ = ["RayHead", "make_private", "marked", "write_token"]

CPUS_MIN = 4  # Ray counts, we place: its own bookkeeping must not hold anyone up


class RayHead:
    """One Ray head whose state is in `folder`; port 0 takes a free one. `start` and `stop` are idempotent.

    Ray is told of no GPU: devices are leased by the platform, never by Ray.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        cpus: int | None = None,
        object_store_bytes: int = 200_000_000,
        patience: Patience = PATIENT,
        fork_workers: bool = True,
    ) -> None:
        self._host, self._port, self._cpus = host, port, cpus
        self._object_store_bytes = object_store_bytes
        self._fork_workers = fork_workers
        self._environment: dict[str, str] = {}
        self._processes = RayProcesses(folder, patience)

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a driver adds to its own before it imports ray; empty before `start`."""
        return dict(self._environment)

    @property
    def folder(self) -> Path:
        return self._processes.folder

    @property
    def pids(self) -> dict[str, int]:
        """Ray's own processes by role (`gcs_server`, `raylet`), those that live."""
        return self._processes.pids

    @property
    def temp(self) -> Path:
        return self._processes.temp

    @property
    def log(self) -> Path:
        return self._processes.log

    def is_alive(self) -> bool:
        return self._processes.is_alive()

    def start(self) -> str:
        """The address to join, once Ray's processes run; raises Unavailable with what they last said."""
        if self.is_alive():
            return self.address
        self._processes.clear_the_place()
        self._port = claim(self._port, whose="Ray", setting="HEADWATER_RAY__PORT")
        token = write_token(self.folder / "ray_token")
        self._environment = ray_environment(temp=self.temp, token=token, serve=choose_serve_ports(), host=self._host)
        self._processes.start(self._order(), self._environment)
        return self.address

    def stop(self) -> None:
        """Ends the cluster with every worker, replica and proxy in it; keeps Ray's logs in the folder."""
        self._processes.stop()

    def _order(self) -> Order:
        return Order(
            temp=str(self.temp),
            host=self._host,
            gcs_port=self._port,
            cpus=self._cpus or max(CPUS_MIN, os.cpu_count() or 1),
            object_store_bytes=self._object_store_bytes,
            runtime_env_port=free_ports(1)[0],
            answer=str(self.folder / "ray.started"),
            fork_server=str(self._processes.fork_place) if self._fork_workers else "",
        )


def write_token(path: Path) -> Path:
    """A fresh secret for each start, readable by its owner only."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as private:
        private.write(secrets.token_hex(32))
    return path
