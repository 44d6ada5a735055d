"""What would happen if: a change, tried on the live machine and taken back before anything else is decided."""

from __future__ import annotations

from msgspec import Struct

from .holdings import Holding
from .messages import Event, Grant, Impossible, Reclaim, TreeChanged
from .report import NodeUsage
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
    """`starts`, `ends` and `refused` name steps, in order, at most LISTED_MAX of each."""

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    refused: tuple[str, ...]
    losses: tuple[Loss, ...]
    usage: tuple[NodeUsage, ...]


def simulate(machine: Scheduler, events: list[Event], now_us: int) -> Outcome:
    """What the events would lead to, one after the other. The machine is afterwards as it was before."""
    before = machine.tree
    with machine.tried():
        effects = [effect for event in events for effect in machine.decide(event, now_us)]
        tree = next((event.tree for event in reversed(events) if isinstance(event, TreeChanged)), before)
        losses = losses_of(before, tree, list(machine.holdings().values()))
        usage = tuple(machine.usage())
    return Outcome(
        tuple(effect.step_id for effect in effects if isinstance(effect, Grant))[:LISTED_MAX],
        tuple(effect.step_id for effect in effects if isinstance(effect, Reclaim))[:LISTED_MAX],
        tuple(effect.step_id for effect in effects if isinstance(effect, Impossible))[:LISTED_MAX],
        losses,
        usage,
    )


def losses_of(before: Tree, after: Tree, holdings: list[Holding]) -> tuple[Loss, ...]:
    """Who would hold more than its new guarantee and did not, or would be guaranteed less of what it holds."""
    live = [holding for holding in holdings if not holding.released]
    found = []
    for project in sorted({holding.step.project for holding in live}):
        mine = [holding for holding in live if holding.step.project == project]
        for flavour in sorted({flavour for holding in mine for flavour in holding.amounts}):
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
