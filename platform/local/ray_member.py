"""A machine that is not the head, as a node of its cluster: Ray's processes there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .ports import LOOPBACK, free_ports
from .ray_environment import choose_serve_ports, ray_environment
from .ray_node import Order
from .ray_processes import PATIENT, Patience, RayProcesses

NO_CPUS = 0  # for Ray to give away: what runs here is placed by the platform


@dataclass(frozen=True, slots=True)
class Membership:
    """The cluster to join: its head's address, the file of its secret, and what this machine is called in it."""

    head: str
    token: Path
    labels: dict[str, str] = field(default_factory=dict)


class RayMember:
    """One node whose state is in `folder`. `start` and `stop` are idempotent."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = LOOPBACK,
        object_store_bytes: int = 200_000_000,
        patience: Patience = PATIENT,
        fork_workers: bool = True,
    ) -> None:
        self._host, self._object_store_bytes, self._fork_workers = host, object_store_bytes, fork_workers
        self._processes = RayProcesses(folder, patience)

    @property
    def pids(self) -> dict[str, int]:
        return self._processes.pids

    def is_alive(self) -> bool:
        return self._processes.is_alive()

    def start(self, to: Membership) -> None:
        """Returns once the node has registered with the head; raises Unavailable with what it last said."""
        if self.is_alive():
            return
        self._processes.clear_the_place()
        environment = ray_environment(
            temp=self._processes.temp, token=to.token, serve=choose_serve_ports(), host=self._host
        )
        order = Order(
            temp=str(self._processes.temp),
            host=self._host,
            cpus=NO_CPUS,
            object_store_bytes=self._object_store_bytes,
            runtime_env_port=free_ports(1)[0],
            answer=str(self._processes.folder / "ray.started"),
            fork_server=str(self._processes.fork_place) if self._fork_workers else "",
            joins=to.head,
            labels=to.labels,
        )
        self._processes.start(order, environment)

    def stop(self) -> None:
        """Ends the node with every worker on it."""
        self._processes.stop()

    def abandon(self) -> None:
        """The same at once, where the head is gone."""
        self._processes.abandon()
