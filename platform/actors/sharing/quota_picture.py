"""The Scheduler's picture of the store: the newest tree, nodes, what is leased or being emptied, what waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from ...core.inventory import Node, QuotaNote, QuotaTree
from ...core.records.attempts import AttemptState, Preemption
from ...quota import messages as q
from ...quota.runtimes import Kind, gathered
from ...quota.scheduler import Scheduler
from ...quota.tree import parse_tree
from ...store.reader import Picture
from ...store.schema import ATTEMPTS, DEVICES, NODES, QUOTA_NOTES, QUOTA_TREES, RUNS, STEPS
from ..loop import wall_clock_us
from .quota_desk import FIRST_VERSION, QuotaDesk
from .quota_notes import prioritised
from .quota_rows import LIVE, Rows

_HOUR_US = 3_600_000_000
_LOOKED_BACK = 5_000  # attempts


class Device(NamedTuple):
    """Of a device's row what says where it is."""

    id: str
    node: str
    model: str
    state: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Of an attempt's row what says for whom it makes way; not what it gave."""

    fence: int
    step_id: str
    run_id: str
    state: AttemptState
    preemption: Preemption | None


def load_desk(picture: Picture, seed: dict[str, Any], ray_nodes: Collection[str]) -> QuotaDesk:
    """The desk as the rows have it; without a stored tree it holds the seed's, which `Seeded` makes version 1.

    A node whose Ray node is not among `ray_nodes` is of an earlier life: it is awaited, and counts when the GpuPool
    says so again.
    """
    newest = sa.select(sa.func.max(QUOTA_TREES.c.version)).scalar_subquery()
    trees: list[QuotaTree] = picture.rows("quota_trees", QUOTA_TREES.c.version == newest)
    stored = trees[0] if trees else None
    tree = parse_tree(stored.tree if stored is not None else seed)
    devices = _devices(picture)
    now_us = wall_clock_us()
    lately = NODES.c.seen_us > now_us - tree.policy.return_s * 1_000_000
    known: list[Node] = picture.rows("nodes", (NODES.c.state != "LEFT") | lately)
    of_node: dict[str, list[Device]] = {}
    for device in devices:
        of_node.setdefault(device.node, []).append(device)
    specs = {node.id: _node_of(node, of_node.get(node.id, [])) for node in known}
    here = {node.id: None for node in known if node.state != "LEFT" and node.ray_node in ray_nodes}
    nodes = tuple(specs[node_id] for node_id in here)
    left_us = {node.id: node.seen_us if node.state == "LEFT" else now_us for node in known if node.id not in here}
    notes: dict[str, QuotaNote] = {n.name: n for n in picture.rows("quota_notes", QUOTA_NOTES.c.name.is_not(None))}
    rows = Rows(picture)
    engine = Scheduler.load(
        tree,
        stored.version if stored is not None else FIRST_VERSION,
        nodes=nodes,
        history=[*(prioritised(event, notes) for event in _history(rows)), *_quarantined(devices)],
        waiting=rows.waiting(notes),
        leaving=_leaving(picture),
        away=[(specs[node_id], at_us) for node_id, at_us in left_us.items()],
    )
    desk = QuotaDesk(engine, stored, nodes=nodes, tree=tree.to_mapping())
    for kind, lasted in gathered(_attempts_that_succeeded(picture)).items():
        desk.runtimes.load(kind, lasted)
    desk.remember(notes.values())
    return desk


def _devices(picture: Picture) -> list[Device]:
    """Those that are there, by id."""
    which = sa.select(*(DEVICES.c[field] for field in Device._fields)).where(DEVICES.c.state != "LEFT")
    with picture.driven(which.order_by(DEVICES.c.id)) as rows:
        return list(map(Device._make, rows))


def _node_of(node: Node, devices: Sequence[Device]) -> q.NodeSpec:
    return q.NodeSpec(
        id=node.id,
        cpus_milli=node.cpus_milli,
        memory_bytes=node.memory_bytes,
        gpu_model=devices[0].model if devices else "",
        devices=tuple(q.DeviceSpec(device.id) for device in devices),
        labels=tuple(sorted((node.labels or {}).items())),
        drained=node.state == "DRAINED",
    )


def _history(rows: Rows) -> Iterator[q.Event]:
    """Attempts that live, and those that have ended on devices which are not free yet."""
    freed = rows.freed()
    for leased, live, checkpoint_us in rows.held():
        yield leased
        if checkpoint_us is not None and checkpoint_us >= leased.now_us:
            yield q.AttemptCheckpointed(leased.fence, checkpoint_us)
        if not live:
            yield q.AttemptReleased(leased.fence)
            yield q.DeviceFreed(freed.get(leased.fence, ()), leased.fence)


def _attempts_that_succeeded(picture: Picture) -> Iterator[tuple[Kind, int]]:
    """Of the newest attempts, in the order of their leases, what each was of and how long it took."""
    since = picture.scalar(sa.select(sa.func.max(ATTEMPTS.c.fence))) or 0
    found = picture.select(
        sa.select(RUNS.c.project, RUNS.c.flow, STEPS.c.name, ATTEMPTS.c.ended_us, ATTEMPTS.c.leased_us)
        .join(STEPS, STEPS.c.id == ATTEMPTS.c.step_id)
        .join(RUNS, RUNS.c.id == ATTEMPTS.c.run_id)
        .where(ATTEMPTS.c.fence > since - _LOOKED_BACK, ATTEMPTS.c.state == AttemptState.SUCCEEDED)
        .order_by(ATTEMPTS.c.fence)
    )
    return (((row.project, row.flow, row.name), row.ended_us - row.leased_us) for row in found)


def _leaving(picture: Picture) -> list[q.AttemptLeaving]:
    """What makes way for others, and what did within the last hour, in the order in which it was told to."""
    ended = (ATTEMPTS.c.state == AttemptState.PREEMPTED) & (ATTEMPTS.c.ended_us > wall_clock_us() - _HOUR_US)
    which = ATTEMPTS.c.preemption.is_not(None) & (ATTEMPTS.c.state.in_(LIVE) | ended)
    told = picture.parts("attempts", Told, which)
    runs = ATTEMPTS.select().with_only_columns(ATTEMPTS.c.run_id).where(which)
    projects = {run.id: run.project for run in picture.rows("runs", RUNS.c.id.in_(runs))}
    leaving = [
        q.AttemptLeaving(
            attempt.fence,
            attempt.preemption.for_step,
            projects.get(attempt.run_id, ""),
            attempt.preemption.told_us,
            attempt.preemption.due_us,
        )
        for attempt in told
        if attempt.preemption is not None and (attempt.state.live or attempt.preemption.for_step != attempt.step_id)
    ]
    return sorted(leaving, key=lambda event: (event.at_us, event.fence))


def _quarantined(devices: Sequence[Device]) -> list[q.Event]:
    ids = tuple(device.id for device in devices if device.state == "QUARANTINED")
    return [q.DeviceQuarantined(ids)] if ids else []
