"""The words of the log and of the Conductor, as the quota engine says them, and back."""

from __future__ import annotations

import math

from ...quota import messages as q
from ...wire import calls
from ...wire.entries.nodes import DeviceQuarantined, DevicesFreed, NodeJoined
from ...wire.entries.steps import (
    StepCheckpointed,
    StepFailed,
    StepLeased,
    StepPlaceLeft,
    StepPreempting,
    StepSucceeded,
    StepWaiting,
)
from ...wire.terms import Demand
from ...wire.types import Entry


def messages_of(entry: Entry) -> list[q.Event]:
    """What an entry about a step or a device means to the engine; nothing for any other."""
    match entry.body:
        case StepWaiting() as body:
            return [waiting_of(entry, body)]
        case StepCheckpointed(fence=fence):
            return [q.AttemptCheckpointed(fence, entry.time_us)]
        case StepPreempting() as told:
            due_us = entry.time_us + int(told.grace_s * 1_000_000)
            return [q.AttemptLeaving(told.fence, told.for_step, entry.project, entry.time_us, due_us)]
        case StepSucceeded(fence=fence, kept=kept):
            return [q.AttemptReleased(fence, kept)]
        case StepFailed(fence=fence):
            return [q.AttemptReleased(fence)]
        case StepPlaceLeft(fence=fence):
            return [q.PlaceLeft(fence)]
        case DevicesFreed(fence=0, devices=devices):
            return [q.DeviceRestored(devices)]
        case DevicesFreed(fence=fence, devices=devices):
            return [q.AttemptReleased(fence), q.DeviceFreed(devices, fence)]
        case DeviceQuarantined(device=device):
            return [q.DeviceQuarantined((device,))]
    return []


def waiting_of(entry: Entry, body: StepWaiting) -> q.StepWaiting:
    return q.StepWaiting(
        step_id=body.step_id,
        run_id=run_of(body.step_id),
        project=entry.project,
        name=body.name,
        demand=demand_of(body.demand),
        since_us=body.since_us,
        priority=body.priority,
        max_runtime_s=seconds_of(body.max_runtime_s),
        min_runtime_s=seconds_of(body.min_runtime_s) or 0,
        ranks_min=body.ranks_min,
        once=body.once,
        evictions=body.evictions,
        flow=body.flow,
        tier=body.tier,
    )


def leased_of(entry: Entry, body: StepLeased) -> q.AttemptLeased:
    return q.AttemptLeased(
        step_id=body.step_id,
        fence=body.fence,
        node=body.node,
        devices=by_rank(body.devices, len(body.nodes) or body.demand.ranks),
        demand=demand_of(body.demand),
        nodes=body.nodes,
        now_us=entry.time_us,
        project=entry.project,
        run_id=run_of(body.step_id),
        name=body.name,
        place=body.place,
    )


def node_of(body: NodeJoined) -> q.NodeSpec:
    return q.NodeSpec(
        id=body.node,
        cpus_milli=body.cpus_milli,
        memory_bytes=body.memory_bytes,
        gpu_model=body.devices[0].model if body.devices else "",
        devices=tuple(q.DeviceSpec(device.id) for device in body.devices),
        labels=tuple(sorted(body.labels.items())),
    )


def demand_of(demand: Demand) -> q.Demand:
    return q.Demand(
        gpus_milli=demand.gpus_milli,
        gpu_model=demand.gpu_model,
        cpus_milli=demand.cpus_milli,
        memory_bytes=demand.memory_bytes,
        ranks=demand.ranks,
        required_level=demand.required_level,
        preferred_level=demand.preferred_level,
    )


def by_rank(devices: tuple[str, ...], ranks: int) -> tuple[tuple[str, ...], ...]:
    """The devices of each rank, from those of all of them; empty where there are none."""
    each = len(devices) // ranks
    return tuple(devices[rank * each : (rank + 1) * each] for rank in range(ranks)) if each else ()


def proposal_of(grant: q.Grant) -> calls.Grant:
    """The epoch is the shell's to fill in."""
    return calls.Grant(
        step_id=grant.step_id,
        node=grant.node,
        devices=tuple(device for rank in grant.devices for device in rank),
        tree_version=grant.tree_version,
        scheduler_epoch=0,
        nodes=grant.nodes if len(grant.nodes) > 1 else (),
    )


def reclaim_of(reclaim: q.Reclaim, tree_version: int) -> calls.Reclaim:
    """The epoch is the shell's to fill in."""
    return calls.Reclaim(
        fence=reclaim.fence,
        step_id=reclaim.step_id,
        for_step=reclaim.for_step,
        grace_s=reclaim.grace_s,
        reason=reclaim.reason,
        tree_version=tree_version,
        scheduler_epoch=0,
    )


def hold_of(effect: q.Waiting | q.Impossible) -> calls.Hold:
    if isinstance(effect, q.Impossible):
        return calls.Hold(step_id=effect.step_id, code="impossible", reason=effect.sentence, final=True)
    return calls.Hold(step_id=effect.step_id, code=effect.code, reason=effect.sentence)


def run_of(step_id: str) -> str:
    """A step's id is `run/ordinal`."""
    return step_id.rpartition("/")[0]


def seconds_of(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds)
