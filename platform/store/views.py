"""Rows as the API shows them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ..core import inventory
from ..core.records.attempts import Attempt
from ..core.records.inbox import DeadLetter, Offset
from ..core.records.leases import Lease
from ..core.records.runs import Pin, Run
from ..core.records.steps import Step
from ..core.records.storage import StorageUse
from ..core.storage import limits_in, total_of
from ..quota.tree import parse_tree
from ..wire.api.answer import Answer, Page
from ..wire.api.commands import CommandView
from ..wire.api.events import DeadLetterDetail, GapView
from ..wire.api.holdings import Held, QuotaView, Stored, Waiting
from ..wire.api.models import DeploymentView, FlowView, ModelView, TriggerView
from ..wire.api.nodes import DeviceView, NodeView
from ..wire.api.runs import PinView, RunDetail, RunSummary
from ..wire.api.steps import AttemptView, StepView
from ..wire.api.tables import TableView
from ..wire.entries.events import CommandDone, CommandRefused
from ..wire.manifest import FlowSpec
from ..wire.terms import JSON
from ..wire.types import Entry

A = TypeVar("A", bound=Answer)


def _copied(kind: type[A], row: msgspec.Struct, **rest: Any) -> A:
    """A view whose fields are those of the row by the same names, but for `rest`."""
    fields = {name: getattr(row, name) for name in kind.__struct_fields__ if name not in rest and hasattr(row, name)}
    return kind(**fields, **rest)


def run_summary(row: Any) -> RunSummary:
    """Of a row of the summary's columns."""
    fields = dict(row._mapping)
    return RunSummary(**{**fields, "labels": msgspec.json.decode(fields["labels"])})


def run_detail(run: Run, steps: tuple[StepView, ...]) -> RunDetail:
    return _copied(RunDetail, run, steps=steps)


def step_views(steps: Sequence[Step], attempts: Sequence[Attempt]) -> tuple[StepView, ...]:
    tries: dict[str, list[AttemptView]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.step_id, []).append(_attempt_view(attempt))
    return tuple(
        _copied(StepView, step, inputs=step.arguments.about, attempts=tuple(tries.get(step.id, ()))) for step in steps
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    result = attempt.result
    makes_way = attempt.preemption.reason if attempt.preemption is not None and attempt.state.live else ""
    if result is None:
        return _copied(AttemptView, attempt, preempting=makes_way)
    said = {"artifact": result.digest, "codec": result.codec, "size_bytes": result.size_bytes, "about": result.about}
    return _copied(AttemptView, attempt, **said)


def pin_view(pin: Pin) -> PinView:
    """Of a table its snapshot, of a model its number."""
    body = pin.body if isinstance(pin.body, dict) else {}
    version = body.get("snapshot_id" if pin.kind == "table" else "version")
    return PinView(kind=pin.kind, name=pin.name, version=version)


def flow_view(flow: inventory.FlowRow) -> FlowView:
    spec = msgspec.convert(flow.manifest, FlowSpec)
    triggers = tuple(_copied(TriggerView, trigger) for trigger in spec.triggers)
    return _copied(FlowView, flow, doc=spec.doc, parameters=spec.parameters, triggers=triggers)


def with_aliases(page: Page[ModelView], aliases: Sequence[inventory.ModelAlias]) -> Page[ModelView]:
    """The versions with the aliases that stand for each."""
    found: dict[tuple[str, int], list[str]] = {}
    for alias in aliases:
        found.setdefault((alias.name, alias.version), []).append(alias.alias)
    items = [
        msgspec.structs.replace(model, aliases=tuple(found.get((model.name, model.version), ())))
        for model in page.items
    ]
    return Page(items=items, next=page.next)


def model_view(model: inventory.ModelVersion) -> ModelView:
    return _copied(ModelView, model)


def deployment_view(deployment: inventory.Deployment) -> DeploymentView:
    return _copied(DeploymentView, deployment)


def table_view(head: inventory.TableHead) -> TableView:
    return _copied(TableView, head)


def dead_letter_detail(letter: DeadLetter) -> DeadLetterDetail:
    return _copied(DeadLetterDetail, letter)


def gap_view(offset: Offset) -> GapView:
    return GapView(
        owner=offset.owner,
        topic=offset.topic,
        partition=offset.partition,
        stands_at=offset.next,
        reason=offset.halted,
    )


def node_view(node: inventory.Node, devices: Sequence[inventory.DeviceRow], attempts: Mapping[str, int]) -> NodeView:
    """`attempts` counts those that run on each node."""
    own = [device for device in devices if device.node == node.id and device.state != "LEFT"]
    shown = tuple(_copied(DeviceView, device) for device in own)
    return _copied(NodeView, node, devices=shown, attempts=attempts.get(node.id, 0))


def quota_view(
    tree: inventory.QuotaTree,
    held: tuple[Held, ...],
    waiting: Sequence[Step],
    stored: Sequence[StorageUse] = (),
) -> QuotaView:
    """The tree, what each project holds under it and stores, and the steps that wait, the longest first."""
    in_turn = sorted(waiting, key=lambda step: (step.waiting_us or 0, step.id))
    return _copied(QuotaView, tree, held=held, waiting=tuple(map(_waiting, in_turn)), stored=_stored(tree.tree, stored))


def _stored(tree: JSON, uses: Sequence[StorageUse]) -> tuple[Stored, ...]:
    """Projects that store something, or may not store all they like."""
    limits, known = limits_in(tree), {use.project: use for use in uses}
    names = sorted(limits.keys() | {use.project for use in uses if total_of(use)})
    return tuple(
        _copied(Stored, known.get(name) or StorageUse(project=name), limit_bytes=limits.get(name)) for name in names
    )


def holdings(
    tree: inventory.QuotaTree,
    attempts: Sequence[tuple[str, Attempt]],
    leases: Sequence[Lease],
    models: Mapping[str, str],
) -> tuple[Held, ...]:
    """What each project holds, from its attempts (with their projects), leases, and the models of devices."""
    flavours = parse_tree(tree.tree).gpu_models
    projects = sorted({lease.project for lease in leases} | {project for project, _ in attempts})
    found = []
    for name in projects:
        own = [lease for lease in leases if lease.project == name]
        running = [attempt for project, attempt in attempts if project == name]
        used = Counter[str]()
        for lease in own:
            model = models.get(lease.device, "")
            used[model if model in flavours else "gpu"] += lease.milli
        for attempt in running:
            used["cpu"] += attempt.demand.cpus_milli * attempt.demand.ranks
            used["memory"] += attempt.demand.memory_bytes * attempt.demand.ranks
        held = Held(
            project=name,
            devices=tuple(sorted({lease.device for lease in own})),
            gpus_milli=sum(lease.milli for lease in own),
            runs=len({lease.run_id for lease in own} | {attempt.run_id for attempt in running}),
            used={flavour: amount for flavour, amount in used.items() if amount},
        )
        found.append(held)
    return tuple(found)


def _waiting(step: Step) -> Waiting:
    said = {"code": step.held_code, "reason": step.held_reason}
    return _copied(Waiting, step, step_id=step.id, since_us=step.waiting_us, **said)


def command_view(command_id: str, entries: Sequence[Entry]) -> CommandView:
    """Done or refused as the log's entry says; any other entry that the command caused is no answer."""
    for entry in entries:
        match entry.body:
            case CommandDone(result=result):
                return CommandView(id=command_id, state="done", result=result, position=entry.position)
            case CommandRefused(code=code, reason=reason):
                return CommandView(id=command_id, state="refused", code=code, reason=reason, position=entry.position)
            case _:
                continue
    return CommandView(id=command_id, state="pending")
