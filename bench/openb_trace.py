"""The openb trace: 1,213 nodes and 8,152 tasks of a production GPU cluster, as nodes and demands of ours.

From the Kubernetes scheduler simulator of "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
Fragmentation Gradient Descent" (USENIX ATC 2023), Apache License 2.0: `bench/data/`.
"""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

from headwater.quota.messages import Demand, DeviceSpec, NodeSpec

DATA = Path(__file__).parent / "data"
WHOLE = 1000


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    demand: Demand
    quality: str
    created_s: int
    ended_s: int
    scheduled_s: int | None


def nodes(copies: int = 1) -> list[NodeSpec]:
    """The nodes with GPUs; `copies` of each, for a larger cluster of the same mixture."""
    return [_node(row, f"{row['sn']}.{copy}") for copy in range(copies) for row in _rows("openb_node_list_gpu_node")]


def tasks() -> list[Task]:
    return [_task(row) for row in _rows("openb_pod_list_default")]


def gpus_milli(specs: list[NodeSpec]) -> int:
    return sum(len(spec.devices) for spec in specs) * WHOLE


def _rows(name: str) -> list[dict[str, str]]:
    with gzip.open(DATA / f"{name}.csv.gz") as packed:
        return list(csv.DictReader(io.TextIOWrapper(packed, "utf-8")))


def _node(row: dict[str, str], name: str) -> NodeSpec:
    devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(int(row["gpu"])))
    return NodeSpec(name, int(row["cpu_milli"]), int(row["memory_mib"]) << 20, row["model"], devices)


def _task(row: dict[str, str]) -> Task:
    count, share = int(row["num_gpu"]), int(row["gpu_milli"] or 0)
    gpus = count * WHOLE if count > 1 else count * share
    demand = Demand(gpus, None, int(row["cpu_milli"]), int(row["memory_mib"]) << 20)
    created, ended = int(row["creation_time"]), int(row["deletion_time"])
    scheduled = int(float(row["scheduled_time"])) if row["scheduled_time"] else None
    return Task(row["name"], demand, row["qos"], created, ended, scheduled)
