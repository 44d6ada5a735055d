"""The actor that speaks for one node: what it has, and whether an attempt's process is gone from it.

It is small, and it dies with its node. It reports to the GpuPool as long as it lives; the report is of
the whole node, so one that was lost is made good by the next. As often it hears the node's workers: one
that says nothing for a lease's lifetime is killed, so that its attempt counts as lost only once it is gone.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
import os
import shutil
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import ray
from ray.exceptions import RayActorError, RayError

from ...core.attempt_mark import VARIABLE
from ...core.gpu_messages import LOGICAL, NodeReport, is_logical
from ...core.node_offer import Offer
from ...core.renewals import Renewals
from ...errors import Unavailable
from ...wire.entries.nodes import Device
from ...wire.ids import digest_of
from ..actor_table import process_of
from ..describe import Described
from ..names import NAMESPACE, find, forget, living
from .health import MarkedHealth, opened

MIB: Final = 1 << 20
ASK_S: Final = 5.0
SMI_S: Final = 10.0
CGROUP: Final = Path("/sys/fs/cgroup")
RENEWALS: Final = 3  # in a lease's lifetime

log = logging.getLogger("headwater.node_agent")


class NodeAgent:
    """Speaks for the node of the offer's name: what was not offered is looked up."""

    def __init__(self, offer: Offer, *, report_every_s: float, marks: Path) -> None:
        self._offer, self._node, self._every_s = offer, offer.name, report_every_s
        self._marks, self._health = marks, opened()
        self._described = Described(f"node_agent:{offer.name}", None)
        self._beating: list[asyncio.Task[None]] = []
        self._renewals = Renewals(RENEWALS * report_every_s)
        self._processes: dict[str, psutil.Process] = {}  # of workers

    @ray.method
    async def look(self) -> NodeReport:
        """The whole node as it is now. From the first look on it is reported to the GpuPool by itself."""
        if not self._beating:
            loop = asyncio.get_running_loop()
            self._beating = [loop.create_task(self._beat()), loop.create_task(self._hear_workers())]
        return await self._report()

    @ray.method
    async def watch(self) -> None:
        """Never returns: that the call fails says that this process has died."""
        await asyncio.Event().wait()

    @ray.method
    async def left_of(self, worker: str, devices: Sequence[str], mark: str) -> str:
        """What is left of an attempt, and on the devices that it had for itself, as the end of a sentence; empty where
        nothing is."""
        real = [device for device in devices if not is_logical(self._node, device)]
        busy = await compute_processes() if real else []
        if on_them := ", ".join(f"process {pid} is on {device}" for pid, device in busy if device in real):
            return on_them
        if worker and (living := await self._living_worker(worker)):
            return living
        left = await asyncio.to_thread(processes_of, mark)
        return f"process {', '.join(map(str, left))} of it lives" if left else ""

    @ray.method
    async def describe(self) -> dict[str, Any]:
        return self._described.now()

    async def _living_worker(self, worker: str) -> str:
        for name in await asyncio.to_thread(living, f"worker:{self._node}:"):
            try:
                handle = ray.get_actor(name, namespace=NAMESPACE)
                known: str = await asyncio.wait_for(handle.hello.remote(), ASK_S)
            except (RayActorError, ValueError):  # it has ended meanwhile
                continue
            except (RayError, TimeoutError):
                return f"worker {name} does not answer"
            if known == worker:
                return f"worker {name} lives"
        return ""

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                find("gpu_pool").beat.remote(await self._report())
            except (RayError, Unavailable):
                forget("gpu_pool")

    async def _hear_workers(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            with suppress(RayError):  # Ray is away: then nothing is known of anybody
                await self._end_the_silent()

    async def _end_the_silent(self) -> None:
        names = await asyncio.to_thread(living, f"worker:{self._node}:")
        self._renewals.present(names, time.monotonic())
        self._processes = {name: self._processes[name] for name in names if name in self._processes}
        await asyncio.gather(*map(self._hear_worker, names))
        for name in self._renewals.expired(time.monotonic()):
            if (process := self._processes.get(name)) is not None:
                log.warning("%s said nothing for a lease's lifetime and is killed", name)
                with suppress(psutil.NoSuchProcess):  # it knows its process from another that has the pid now
                    process.kill()

    async def _hear_worker(self, name: str) -> None:
        try:
            handle = ray.get_actor(name, namespace=NAMESPACE)
            if name not in self._processes:
                self._processes[name] = psutil.Process(await asyncio.to_thread(process_of, handle))
            await asyncio.wait_for(handle.hello.remote(), self._every_s)
        except (RayError, TimeoutError, ValueError, psutil.NoSuchProcess):  # silent, or gone
            return
        self._renewals.heard(name, time.monotonic())

    async def _report(self) -> NodeReport:
        offer = self._offer
        devices = await real_devices()
        reader = self._health if devices else MarkedHealth(self._marks, self._node)
        return NodeReport(
            node=self._node,
            ray_node=ray.get_runtime_context().get_node_id(),
            cpus_milli=(offer.cpus or usable_cpus()) * 1000,
            memory_bytes=offer.memory_bytes or usable_memory_bytes(),
            devices=devices or logical_devices(offer),
            labels=offer.labels,
            health=await asyncio.to_thread(reader.read) if reader is not None else (),
        )


def node_name(configured: str) -> str:
    """Our id of this machine: the configured name, otherwise one made of its machine id, otherwise its host's name."""
    if configured:
        return configured
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    return digest_of("headwater node", machine)[:12] if machine else socket.gethostname()


def logical_devices(offer: Offer) -> tuple[Device, ...]:
    model, memory_bytes = offer.gpu_model or LOGICAL, offer.gpu_memory_bytes
    ids = (f"{offer.name}/{number}" for number in range(offer.gpus))
    return tuple(Device(id=each, model=model, memory_bytes=memory_bytes) for each in ids)


async def real_devices() -> tuple[Device, ...]:
    """The node's GPUs by their NVML ids; none where there is no driver."""
    rows = await _smi("--query-gpu=uuid,name,memory.total")
    return tuple(Device(id=row[0], model=row[1], memory_bytes=int(row[2]) * MIB) for row in rows if len(row) == 3)


async def compute_processes() -> list[tuple[str, str]]:
    """(process id, device) of what computes on the GPUs now."""
    rows = await _smi("--query-compute-apps=pid,gpu_uuid")
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def processes_of(mark: str) -> list[int]:
    """The processes that an attempt has left behind."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


async def _smi(query: str) -> list[list[str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    command = ("nvidia-smi", query, "--format=csv,noheader,nounits")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), SMI_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Unavailable(f"nvidia-smi did not answer within {SMI_S:g} s", remedy="Run it by hand") from None
    if process.returncode:
        return []
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(said.decode()))]


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, bounded by the control group's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _control("cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def usable_memory_bytes() -> int:
    total = int(psutil.virtual_memory().total)
    limit = _control("memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _control(name: str) -> str:
    try:
        return (CGROUP / name).read_text().strip()
    except OSError:
        return ""
