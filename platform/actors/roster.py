"""The one place where classes become actors: named, detached, asking Ray for no resources.

Long-lived actors are restarted by Ray for ever, where they were: beside the home folder. FlowHosts live there as well,
workers on the node of their attempt; neither is ever restarted.
"""

from __future__ import annotations

import os
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..core.node_offer import Offer
from .conductor import ConductorActor
from .crew import Begun
from .devices.ray_nodes import RayNode
from .names import AT_HEAD, NAMESPACE
from .wiring import Wiring
from .work.flow_host import FlowHost
from .work.ground import limits_of
from .work.hosted_run import Patience
from .work.worker import Worker

CALLS_AT_ONCE: Final = 10_000


def conductor(wiring: Wiring) -> Any:
    return long_lived(ConductorActor, "conductor", wiring)


def scheduler(wiring: Wiring) -> Any:
    from .sharing.scheduler import SchedulerActor

    return long_lived(SchedulerActor, "scheduler", wiring)


def gpu_pool(wiring: Wiring) -> Any:
    from .devices.gpu_pool import GpuPoolActor

    return long_lived(GpuPoolActor, "gpu_pool", wiring)


def registry(wiring: Wiring) -> Any:
    from .registry import RegistryActor

    return long_lived(RegistryActor, "registry", wiring)


def table_writer(wiring: Wiring) -> Any:
    from .lake.table_writer import TableWriterActor

    return long_lived(TableWriterActor, "table_writer", wiring)


def flow_host(wiring: Wiring, host: str) -> Any:
    runs = wiring.settings.runs
    patience = Patience(evict_after_s=runs.evict_after_s, stuck_after_s=runs.stuck_after_s)
    arguments = (host, wiring.home, None, limits_of(wiring.settings), patience)
    return _short_lived(FlowHost, f"host:{host}", *arguments, resources=AT_HEAD)


def worker(wiring: Wiring, begun: Begun) -> Any:
    options: dict[str, Any] = {"scheduling_strategy": begun.placed} if begun.placed is not None else {}
    if begun.packages is not None:
        path = os.pathsep.join(filter(None, (str(begun.packages), os.environ.get("PYTHONPATH"))))
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": path}}
    arguments = (begun.name, wiring.home, None, limits_of(wiring.settings), begun.env)
    return _short_lived(Worker, f"worker:{begun.name}", *arguments, **options)


def node_agent(wiring: Wiring, name: str, node: RayNode) -> Any:
    """The living agent of that node, or a new one on it. What the settings offer is this machine's."""
    from .devices.node_agent import RENEWALS, NodeAgent

    settings = wiring.settings
    here = Offer(name=name, gpus=wiring.gpus, cpus=settings.ray.cpus)
    remote: Any = ray.remote(NodeAgent)
    return remote.options(
        name=f"node_agent:{name}",
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
    ).remote(
        here if node.here else node.offer,
        report_every_s=settings.leases.lease_lifetime_s / RENEWALS,
        marks=wiring.folder / "devices",
    )


def long_lived(kind: type, name: str, *arguments: Any) -> Any:
    """The living actor of that name, or a new one. Calls in flight when it dies are not made again."""
    remote: Any = ray.remote(kind)
    return remote.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        resources=AT_HEAD,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
    ).remote(*arguments)


def _short_lived(kind: type, name: str, *arguments: Any, **options: Any) -> Any:
    remote: Any = ray.remote(kind)
    return remote.options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        num_cpus=0,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=CALLS_AT_ONCE,
        **options,
    ).remote(*arguments)
