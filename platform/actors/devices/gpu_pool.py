"""The GpuPool's shell: one NodeAgent for each Ray node, and the emptying of devices.

A node is kept by one task: its agent is made, looks, and is watched. Where the agent dies it is made
again; where its Ray node is gone, or no agent comes up in time, the node has left. Ray does not tell of
new nodes, so one slow look finds them, and with them any lease whose end was not heard of.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import ray
from ray.exceptions import RayError

from ...config import Devices
from ...core.device_health import HealthBounds
from ...core.gpu_messages import Examine, Examined, NodeGone, NodeReport, Part, Released, Reported
from ...core.gpu_pool import OWNER, GpuPool
from ...core.records.inbox import Offset
from ...core.records.leases import LeaseState
from ...errors import Unavailable
from ...store.reader import Picture
from ...store.schema import LEASES
from ...wire import topics
from ...wire.entries.steps import StepFailed, StepSucceeded
from ...wire.types import Entry
from ..names import find, forget
from ..owner import OwnerActor
from . import ray_nodes
from .emptied import quarantined_in, released_in
from .node_agent import node_name

SURVEY_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5
REFUSED_WITHIN_S: Final = 2.0
UNHEARD_S: Final = 30.0


class GpuPoolActor(OwnerActor):
    owner = OWNER
    command_topic = topics.GPU_COMMANDS.name
    machine: GpuPool

    def load(self, picture: Picture, offsets: list[Offset]) -> GpuPool:
        self._kept: set[str] = set()  # Ray nodes that a task keeps
        self._names: dict[str, str] = {}  # our node → its Ray node
        self._beats: dict[str, float] = {}  # our node → when it was last heard of
        pool = GpuPool(bounds_of(self.wiring.settings.devices))
        pool.load(
            nodes=picture.rows("nodes"),
            devices=picture.rows("devices"),
            quarantined=picture.rows("leases", LEASES.c.state == LeaseState.QUARANTINED),
            offsets=offsets,
        )
        self._unheard = released_in(picture)
        return pool

    async def started(self) -> None:
        for released in self._unheard:
            self.loop.tell(released)
        self.must(self._survey())

    # Nodes.

    async def _survey(self) -> None:
        """Keeps every Ray node that there is; nodes of an earlier life that did not come back have left."""
        while True:
            found = await asyncio.to_thread(ray_nodes.alive)
            for node in found.values():
                if node.id not in self._kept:
                    name = node_name(self.wiring.settings.node) if node.here else node.offer.name
                    self._kept.add(node.id)
                    self._names[name] = node.id
                    self.spawn(self._keep(name, node))
            for row in self.machine.nodes.values():
                if row.state != "LEFT" and self._names.get(row.id) is None:
                    self.loop.tell(
                        NodeGone(row.id, "its machine was not there when the platform started", was_told=True)
                    )
            await self._hear_the_unheard()
            await self._look_at_quarantined()
            await asyncio.sleep(SURVEY_S)

    async def _keep(self, name: str, node: ray_nodes.RayNode) -> None:
        try:
            while True:
                await self._watch_agent(name, node)
                if await asyncio.to_thread(_is_gone, node):
                    reason = "its machine is gone"
                    break
        except (RayError, TimeoutError, Unavailable) as error:
            reason = f"its agent did not come back: {str(error).splitlines()[0] if str(error) else 'it did not answer'}"
        self._kept.discard(node.id)
        if self._names.get(name) == node.id:
            del self._names[name]
            self.loop.tell(NodeGone(name, reason))

    async def _watch_agent(self, name: str, node: ray_nodes.RayNode) -> None:
        """Returns when the agent has died; raises where it did not come up, or cannot say what the node has."""
        from ..roster import node_agent

        agent = await asyncio.to_thread(node_agent, self.wiring, name, node)
        within_s = self.wiring.settings.leases.claim_within_s
        try:
            report: NodeReport = await asyncio.wait_for(agent.look.remote(), within_s)
            self._hear_node(report)
            silence = asyncio.get_running_loop().create_task(self._end_when_silent(name, agent))
            try:
                await agent.watch.remote()
            finally:
                silence.cancel()
        except RayError:
            forget(f"node_agent:{name}")
            if name not in self._beats:
                raise
            del self._beats[name]  # the next one must be heard of, or the node has left

    async def _end_when_silent(self, name: str, agent: Any) -> None:
        lifetime_s = self.wiring.settings.leases.lease_lifetime_s
        while time.monotonic() - self._beats.get(name, 0.0) < lifetime_s:
            await asyncio.sleep(lifetime_s / 3)
        ray.kill(agent)

    @ray.method
    async def beat(self, report: NodeReport) -> None:
        """A NodeAgent's word; written only where it says something new."""
        self._hear_node(report)

    def _hear_node(self, report: NodeReport) -> None:
        self._beats[report.node] = time.monotonic()
        if self._names.get(report.node) == report.ray_node:
            self.loop.tell(Reported(report))

    # Devices.

    def heard(self, entries: list[Entry], upto: int) -> None:
        ended = {
            entry.body.fence: entry.body.seen_empty
            for entry in entries
            if isinstance(entry.body, StepSucceeded | StepFailed) and entry.body.devices
        }
        if ended:
            self.spawn(self._hear_ends(ended))

    async def _hear_ends(self, ended: dict[int, bool]) -> None:
        for released in await asyncio.to_thread(self._read_released, ended):
            self.loop.tell(released)

    def _read_released(self, ended: dict[int, bool]) -> list[Released]:
        with self.reader.picture() as picture:
            return released_in(picture, ended)

    async def _hear_the_unheard(self) -> None:
        """Leases that began to be released a while ago, and of which this machine knows nothing."""
        before_us = (time.time_ns() // 1_000) - int(UNHEARD_S * 1_000_000)
        for released in await asyncio.to_thread(self._read_unheard, before_us):
            if released.fence not in self.machine.examined:
                self.loop.tell(released)

    def _read_unheard(self, before_us: int) -> list[Released]:
        with self.reader.picture() as picture:
            return released_in(picture, before_us=before_us)

    async def _look_at_quarantined(self) -> None:
        for effect in await asyncio.to_thread(self._read_quarantined):
            if not await self._left_of(effect):
                self.loop.tell(Examined(effect.fence, empty=True))

    def _read_quarantined(self) -> list[Examine]:
        with self.reader.picture() as picture:
            return quarantined_in(picture)

    def carry_out(self, effect: Any) -> None:
        if isinstance(effect, Examine):
            self.spawn(self._examine(effect))

    async def _examine(self, effect: Examine) -> None:
        """Asks until nothing is left, for as long as that may take."""
        deadline = time.monotonic() + self.wiring.settings.leases.empty_within_s
        left = "its agent was not asked"
        while left and time.monotonic() < deadline:
            left = await self._left_of(effect)
            if left:
                await asyncio.sleep(LOOK_AGAIN_S)
        why = left and f"{left} after attempt {effect.fence} had ended"
        self.loop.tell(Examined(effect.fence, not left, why))

    async def _left_of(self, effect: Examine) -> str:
        return "; ".join(filter(None, [await self._left_there(part, effect.mark) for part in effect.parts]))

    async def _left_there(self, part: Part, mark: str) -> str:
        """What its agent says is left, or why it does not say."""
        node = self.machine.nodes.get(part.node)
        if node is None or node.state == "LEFT":
            return ""
        try:
            left: str = await find(f"node_agent:{part.node}").left_of.remote(part.worker, part.devices, mark)
        except (RayError, Unavailable) as error:
            forget(f"node_agent:{part.node}")
            return f"the agent of {part.node} does not answer: {str(error).splitlines()[0]}"
        return left


def bounds_of(devices: Devices) -> HealthBounds:
    return HealthBounds(
        temperature_max_c=devices.temperature_max_c,
        temperature_back_c=devices.temperature_back_c,
        ecc_uncorrected_max=devices.ecc_uncorrected_max,
        xids_ignored=devices.xids_ignored,
        flaps_max=devices.flaps_max,
        flap_window_us=int(devices.flap_window_s * 1_000_000),
    )


def _is_gone(node: ray_nodes.RayNode) -> bool:
    return node.id not in ray_nodes.alive() or ray_nodes.refuses(node, REFUSED_WITHIN_S)
