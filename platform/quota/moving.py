"""Moving small jobs so that a large one fits on a node: who has quota but no place that is whole.

Only jobs of one rank that may be ended now, are smaller, matter no more than the one that waits, and would lose no more
work (time since the last checkpoint x devices) than it has waited (time x devices); and only where each of them has
another place. They make way like any other victim, wait again, and go on elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from .admission import Admission, Option, Placed
from .holdings import Holding, Holdings
from .messages import StepWaiting
from .placement.consolidation import Movable, consolidation
from .placement.inventory import Holder, Inventory
from .queues import shape_of
from .reclaim import Plan, Reclaiming
from .rooms import fewest
from .usage import Usage

NODES_MAX = 32


class Moving:
    def __init__(
        self, usage: Usage, inventory: Inventory, holdings: Holdings, admission: Admission, reclaiming: Reclaiming
    ) -> None:
        self._usage, self._inventory, self._holdings = usage, inventory, holdings
        self._admission, self._reclaiming = admission, reclaiming

    def may_help(self, step: StepWaiting) -> bool:
        """Whether there is any GPU free that the step could use, if it were in one place; a quick look."""
        if not step.demand.gpus_milli:
            return False
        by_room, partly = self._inventory.by_room, self._inventory.partly
        models = {model for option in self._admission.options(shape_of(step)) for model in option.models}
        return any(partly.get(model) or (by_room.get(model) and by_room[model][-1][0] > 0) for model in models)

    def plan(self, step: StepWaiting, now_us: int) -> Plan | None:
        """Who moves so that the step fits on one node, and its place there; None where nobody has to, or may."""
        demand = fewest(step)
        for option in self._admission.options(shape_of(step)):
            if not self._has_quota(step, option):
                continue
            found = consolidation(self._inventory, demand, option.models, self._movable(step, option, now_us))
            if found is not None and found.moves:
                victims = tuple(move.holder for move in found.moves if isinstance(move.holder, int))
                return Plan(victims, Placed(option, found.seats))
        return None

    def _has_quota(self, step: StepWaiting, option: Option) -> bool:
        if not self._usage.path(step.project):
            return False
        contested = (flavour for flavour in option.amounts if self._usage.governs(flavour))
        shape = shape_of(step)
        return all(self._usage.lendable(step.project, f, shape).amount >= option.amounts[f] for f in contested)

    def _movable(self, step: StepWaiting, option: Option, now_us: int) -> dict[Holder, Movable]:
        found: dict[Holder, Movable] = {}
        for fence in self._on_nodes(option):
            holding = self._holdings.all[fence]
            models = self._models_of(holding)
            if models and self._may_move(fence, holding, step, now_us):
                found[fence] = Movable(holding.step.demand, models, holding.seats)
        return found

    def _on_nodes(self, option: Option) -> Iterator[int]:
        """What runs on the nodes with the most GPU free, each once."""
        seen: dict[int, None] = {}
        for name in self._nodes_of(option):
            for device in self._inventory.nodes[name].devices.values():
                seen.update({holder: None for holder in device.holders if isinstance(holder, int)})
        return (fence for fence in seen if fence in self._holdings.all)

    def _nodes_of(self, option: Option) -> dict[str, None]:
        found: dict[str, None] = {}
        for model in option.models:
            rooms = self._inventory.by_room.get(model, [])[-NODES_MAX:]
            shared = self._inventory.partly.get(model, [])[-NODES_MAX:]
            found.update({node: None for whole_free, _, node in reversed(rooms) if whole_free})
            found.update({self._inventory.devices[device].node: None for _, device in reversed(shared)})
        return found

    def _may_move(self, fence: int, holding: Holding, step: StepWaiting, now_us: int) -> bool:
        wanted = step.demand.gpus_milli * step.demand.ranks
        smaller = len(holding.seats) == 1 and holding.step.demand.gpus_milli < wanted
        matters_no_more = holding.step.priority <= step.priority
        lost = (now_us - holding.saved_us()) * holding.step.demand.gpus_milli
        worth_it = lost <= (now_us - step.since_us) * wanted  # by what the large one has waited
        return (
            smaller
            and worth_it
            and matters_no_more
            and holding.may_leave()
            and self._reclaiming.safe_until(holding) <= now_us
        )

    def _models_of(self, holding: Holding) -> tuple[str, ...]:
        options = self._admission.options(shape_of(holding.step))
        return next((option.models for option in options if option.flavour == holding.flavour), ())
