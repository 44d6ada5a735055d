"""The platform of `cluster` as rows: what a Conductor and a GpuPool leave in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from cluster import names, some_nodes, some_steps

from headwater.core.inventory import DeviceRow, Node
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.leases import Lease
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.quota.messages import NodeSpec
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.writer import Changes, Writer
from headwater.wire.calls import Payload
from headwater.wire.terms import Demand

RAY_NODE, AT_ONCE = "ray", 10_000
ONE = Demand(gpus_milli=1000, cpus_milli=4000)


def fill(store: Path, nodes: int, waiting: int) -> None:
    """A new store: every GPU leased to a running attempt of one, and so many steps waiting, in a run per project."""
    create(sqlite_url(store), store_epoch="bench")
    writer = Writer(open_engine(sqlite_url(store)), "conductor")
    writer.take_epoch()
    specs = some_nodes(nodes)
    gpus = [(device.id, spec.id) for spec in specs for device in spec.devices]
    for part in (_nodes(specs), _runs(), _leased(gpus), _waiting(waiting)):
        rows = iter(part)
        while changes := _merged(islice(rows, AT_ONCE)):
            writer.commit(changes)


def _merged(parts: Iterable[Changes]) -> Changes:
    merged: dict[str, dict[object, object]] = {}
    for part in parts:
        for table, rows in part.items():
            merged.setdefault(table, {}).update(rows)
    return merged  # type: ignore[return-value]


def _nodes(specs: list[NodeSpec]) -> Iterator[Changes]:
    for spec in specs:
        node = Node(
            id=spec.id, ray_node=RAY_NODE, cpus_milli=spec.cpus_milli, memory_bytes=spec.memory_bytes, labels={},
            joined_us=1, seen_us=1,
        )  # fmt: skip
        devices = {
            device.id: DeviceRow(id=device.id, node=spec.id, model="H100", memory_bytes=80 << 30)
            for device in spec.devices
        }
        yield {"nodes": {spec.id: node}, "devices": devices}


def _runs() -> Iterator[Changes]:
    for n, project in enumerate(names()):
        run = Run(
            id=f"run-{project}", project=project, flow=f"flow-{n % 50}", code_version="v", state=RunState.RUNNING,
            idempotency_key=f"k{n}", principal="bench", root_id=f"run-{project}", created_us=1,
        )  # fmt: skip
        yield {"runs": {run.id: run}}


def _leased(gpus: list[tuple[str, str]]) -> Iterator[Changes]:
    projects = names()
    for n, (device, node) in enumerate(gpus):
        fence, project = n + 1, projects[n % len(projects)]
        step = _step(project, n, "train", ONE, StepState.RUNNING)
        attempt = Attempt(
            fence=fence, step_id=step.id, run_id=step.run_id, number=1, state=AttemptState.RUNNING, node=node,
            devices=(device,), demand=ONE, worker=f"w{fence}", leased_us=fence,
        )  # fmt: skip
        lease = Lease(
            fence=fence, device=device, node=node, milli=1000, run_id=step.run_id, step_id=step.id, project=project,
            since_us=fence,
        )  # fmt: skip
        yield {"steps": {step.id: step}, "attempts": {fence: attempt}, "leases": {(fence, device): lease}}


def _waiting(count: int) -> Iterator[Changes]:
    for n, given in enumerate(some_steps("w", count, names())):
        demand = Demand(gpus_milli=given.demand.gpus_milli, cpus_milli=given.demand.cpus_milli)
        step = _step(given.project, 1_000_000 + n, given.name, demand, StepState.WAITING, priority=given.priority,
                     max_runtime_s=given.max_runtime_s, waiting_us=n)  # fmt: skip
        yield {"steps": {step.id: step}}


def _step(
    project: str,
    ordinal: int,
    name: str,
    demand: Demand,
    state: StepState,
    *,
    priority: int = 0,
    max_runtime_s: float | None = None,
    waiting_us: int | None = None,
) -> Step:
    run_id = f"run-{project}"
    return Step(
        id=f"{run_id}/{ordinal}", run_id=run_id, ordinal=ordinal, project=project, name=name, function=f"flow:{name}",
        code_version="v", state=state, demand=demand, priority=priority, max_runtime_s=max_runtime_s,
        arguments=Payload(inline=b"x" * 200), created_us=1, waiting_us=waiting_us,
    )  # fmt: skip
