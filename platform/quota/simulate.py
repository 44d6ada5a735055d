"""What would happen if: a change, tried on the live machine and taken back before anything else is decided."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from ..errors import InvalidInput, did_you_mean
from .holdings import Holding
from .messages import (
    AttemptReleased,
    DeviceFreed,
    Event,
    Grant,
    Impossible,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    Reclaim,
    TreeChanged,
    Waiting,
)
from .report import NodeUsage
from .scenario import Scenario
from .scheduler import Scheduler
from .tree import Tree

LISTED_MAX = 1000


class Loss(Struct, frozen=True):
    """A project that may keep less than it uses now: `amount` of the flavour is beyond its new guarantee."""

    project: str
    flavour: str
    amount: int
    guaranteed_before: int
    guaranteed_after: int
    gangs: tuple[str, ...]  # the steps, at most as many as it takes, that owners could then ask back


class Outcome(Struct, frozen=True):
    """`starts`, `ends` and `refused` name steps, in order, at most LISTED_MAX of each. `waits` are those of the
    scenario that would wait, and why; `homeless` lost their node, and are asked for anew.
    """

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    refused: tuple[str, ...]
    losses: tuple[Loss, ...]
    usage: tuple[NodeUsage, ...]
    waits: tuple[Waiting, ...] = ()
    homeless: tuple[str, ...] = ()


def play(machine: Scheduler, scenario: Scenario, now_us: int) -> Outcome:
    """What the scenario would lead to. Raises InvalidInput where it names what is not there, or is there already."""
    _refuse_strangers(machine, scenario)
    events: list[Event] = [NodeJoined(spec) for spec in scenario.nodes]
    if scenario.tree is not None:
        events.append(TreeChanged(scenario.tree, machine.tree_version + 1))
    events += [NodeDrained(name) for name in scenario.drained]
    homeless, lost = _without(machine, scenario.lost)
    asked = [step.step_id for step in scenario.steps]
    outcome = simulate(machine, [*events, *lost, *scenario.steps], now_us, asked=asked)
    return msgspec.structs.replace(outcome, homeless=homeless)


def _refuse_strangers(machine: Scheduler, scenario: Scenario) -> None:
    known = machine.nodes()
    for name in (*scenario.lost, *scenario.drained):
        if name not in known:
            hint = did_you_mean(name, known)
            raise InvalidInput(f"There is no node '{name}'", remedy=hint or "`headwater quota` shows the nodes in use")
    for spec in scenario.nodes:
        if spec.id in known:
            raise InvalidInput(f"Node '{spec.id}' is there already", remedy="Give the new one another id, or none")


def _without(machine: Scheduler, nodes: tuple[str, ...]) -> tuple[tuple[str, ...], list[Event]]:
    """The steps that would lose their place, and what would happen: each is over and waits again."""
    gone = set(nodes)
    events: list[Event] = [NodeLeft(name) for name in nodes]
    homeless = []
    for holder in sorted(holder for holder in machine.holdings() if isinstance(holder, int)):
        holding = machine.holdings()[holder]
        if not holding.released and any(seat.node in gone for seat in holding.seats):
            devices = tuple(device for seat in holding.seats for device in seat.devices)
            events += [AttemptReleased(holder), *([DeviceFreed(devices, holder)] if devices else []), holding.step]
            homeless.append(holding.step.step_id)
    return tuple(homeless[:LISTED_MAX]), events


def simulate(machine: Scheduler, events: list[Event], now_us: int, *, asked: Sequence[str] = ()) -> Outcome:
    """What the events would lead to, one after the other, and why the steps asked for would wait.

    The machine is afterwards as it was before.
    """
    before = machine.tree
    with machine.tried():
        effects = [effect for event in events for effect in machine.decide(event, now_us)]
        tree = next((event.tree for event in reversed(events) if isinstance(event, TreeChanged)), before)
        losses = losses_of(before, tree, list(machine.holdings().values()))
        usage = tuple(machine.usage())
        waits = [said for step_id in asked if isinstance(said := machine.explain(step_id), Waiting)]
    return Outcome(
        tuple(effect.step_id for effect in effects if isinstance(effect, Grant))[:LISTED_MAX],
        tuple(effect.step_id for effect in effects if isinstance(effect, Reclaim))[:LISTED_MAX],
        tuple(effect.step_id for effect in effects if isinstance(effect, Impossible))[:LISTED_MAX],
        losses,
        usage,
        tuple(waits[:LISTED_MAX]),
    )


def losses_of(before: Tree, after: Tree, holdings: list[Holding]) -> tuple[Loss, ...]:
    """Who would hold more than its new guarantee and did not, or would be guaranteed less of what it holds."""
    live = [holding for holding in holdings if not holding.released]
    limited = after.named() | ({"gpu"} if after.governs_gpus() else set())
    found = []
    for project in sorted({holding.step.project for holding in live}):
        mine = [holding for holding in live if holding.step.project == project]
        for flavour in sorted({flavour for holding in mine for flavour in holding.amounts} & limited):
            used = sum(holding.amounts.get(flavour, 0) for holding in mine)
            was, now = _guaranteed(before, project, flavour), _guaranteed(after, project, flavour)
            beyond = used - now
            if now < was and beyond > 0:
                gangs = _asked_back(mine, flavour, beyond)
                found.append(Loss(project, flavour, beyond, was, now, gangs))
    return tuple(found)


def _asked_back(mine: list[Holding], flavour: str, beyond: int) -> tuple[str, ...]:
    """The steps that make way first, until no more than the guarantee is held."""
    named = []
    candidates = [holding for holding in mine if not holding.step.once and flavour in holding.amounts]
    for holding in sorted(candidates, key=lambda each: (each.step.priority, -each.saved_us(), each.step.step_id)):
        if beyond <= 0:
            break
        beyond -= holding.amounts[flavour]
        named.append(holding.step.step_id)
    return tuple(named[:LISTED_MAX])


def _guaranteed(tree: Tree, project: str, flavour: str) -> int:
    node = tree.projects.get(project)
    quota = None if node is None else tree.nodes[node].quotas.get(flavour)
    return 0 if quota is None else quota.nominal
