"""Why a step waits, in a full sentence: which quota or place is short, by how much, who holds it, who is ahead."""

from __future__ import annotations

import msgspec

from ..wire.api.quota import Eta
from . import units
from .admission import Cause, NoPlace, NoProject, OverQuota, each_shown
from .holdings import Holding, Holdings
from .hours import dated
from .messages import Demand, StepWaiting, Waiting
from .order import Order
from .placement.inventory import Inventory
from .placement.shortfall import Shortfall, shortfall
from .queues import Queues, shape_of
from .reservations import Reservations
from .usage import Usage

AHEAD_MAX = 10
NODES_LOOKED_AT = 4
HOLDERS_NAMED = 3


class Reasons:
    def __init__(
        self,
        usage: Usage,
        inventory: Inventory,
        queues: Queues,
        holdings: Holdings,
        order: Order,
        reservations: Reservations,
    ) -> None:
        self._reservations = reservations
        self._usage, self._inventory, self._queues, self._order = usage, inventory, queues, order
        self._holdings = holdings.all

    def in_full(self, step: StepWaiting, causes: tuple[Cause, ...]) -> Waiting:
        """As `first`, with every node looked at: for whoever asks, not for every decision."""
        waiting, cause = self.first(step, causes), causes[0]
        if not isinstance(cause, NoPlace):
            return waiting
        found = _shown(shortfall(self._inventory, step.demand, cause.models), step.demand)
        return msgspec.structs.replace(waiting, sentence=f"{waiting.sentence}{found}")

    def first(self, step: StepWaiting, causes: tuple[Cause, ...]) -> Waiting:
        """Why the first of a queue waits."""
        cause = causes[0]
        ahead = tuple(self._order.ahead(step.project, shape_of(step), AHEAD_MAX))
        names = f" Ahead of it in other queues: {', '.join(ahead)}." if ahead else ""
        match cause:
            case OverQuota():
                return Waiting(step.step_id, "quota", self._over_quota(step, cause) + names, ahead)
            case NoPlace():
                sentence, eta = self._no_place(step, cause)
                return Waiting(step.step_id, "no_place", sentence + names, ahead, eta)
            case NoProject(project):
                sentence = f"Step {step.name} waits: the quota tree has no project '{project}' any more."
                return Waiting(step.step_id, "no_project", sentence)

    def behind(self, step: StepWaiting) -> Waiting:
        """Why one that is not the first of its queue waits."""
        count, ahead = self._queues.ahead_of(step, AHEAD_MAX)
        steps = "1 step" if count == 1 else f"{count} steps"
        sentence = (
            f"Step {step.name} waits behind {steps} of project {step.project} that ask for the same "
            f"({each_shown(step.demand)}); next is {ahead[0]}."
        )
        return Waiting(step.step_id, "queue", sentence, tuple(ahead))

    def reserved(self, step: StepWaiting) -> Waiting:
        """Why one for which a place is kept waits."""
        kept = self._reservations.kept[step.step_id]
        nodes = ", ".join(dict.fromkeys(seat.node for seat in kept.placed.seats))
        sentence = f"Step {step.name} has a place kept on {nodes} and waits for it to come free: {kept.basis}."
        eta = None if kept.at_us is None else Eta(at_us=kept.at_us, basis=kept.basis)
        return Waiting(step.step_id, "reserved", sentence, (), eta)

    def undecided(self, step: StepWaiting, why: str) -> Waiting:
        return Waiting(step.step_id, "undecided", f"Step {step.name} is about to be decided again: {why}.")

    def _over_quota(self, step: StepWaiting, cause: OverQuota) -> str:
        used, nominal = self._usage.used(step.project, cause.flavour), self._usage.nominal(step.project, cause.flavour)
        bound = self._usage.tree.nodes[cause.node]
        if cause.once:
            return (
                f"Step {step.name} waits for quota: it may run only once, so it never borrows; it needs "
                f"{units.shown(cause.flavour, cause.needed)}, and of what project {step.project} is guaranteed "
                f"{units.shown(cause.flavour, cause.room)} is left."
            )
        says = "its own limit" if bound.name == step.project else f"{bound.kind} {bound.path}"
        return (
            f"Step {step.name} waits for quota: it needs {units.shown(cause.flavour, cause.needed)}, and project "
            f"{step.project} may take {units.shown(cause.flavour, cause.room)} more now (bounded by {says}); it uses "
            f"{units.shown(cause.flavour, used)} of {units.shown(cause.flavour, nominal)} nominal."
        ) + self._window(step, cause)

    def _window(self, step: StepWaiting, cause: OverQuota) -> str:
        """Where there would be room but for a window: whose it is."""
        if self._usage.room(step.project, cause.flavour).amount < cause.needed:
            return ""
        keeper = self._usage.window_before(step.project, cause.flavour, shape_of(step))
        if keeper is None:
            return ""
        window, (opens_us, closes_us) = keeper
        whose = self._usage.tree.nodes[window.node].path
        when = f"opens at {dated(opens_us)}" if opens_us > self._usage.now_us else f"is open until {dated(closes_us)}"
        return f" The rest is kept for a window of {whose} ({window.shown()}), which {when}."

    def _no_place(self, step: StepWaiting, cause: NoPlace) -> tuple[str, Eta | None]:
        count, names = self._in_service(cause)
        wanted = each_shown(step.demand) + (f" for each of {step.demand.ranks} ranks" if step.demand.ranks > 1 else "")
        sentence = f"Step {step.name} has quota and waits for a place: it needs {wanted}; "
        if not count:
            return f"{sentence}no node {'of that GPU model ' if step.demand.gpus_milli else ''}is in service.", None
        sentence += f"of {_count(count, 'node')} in service none has the room now."
        holders = self._holders(names) if step.demand.gpus_milli else []
        return sentence + self._held(holders), self._eta(step, holders)

    def _in_service(self, cause: NoPlace) -> tuple[int, list[str]]:
        """How many nodes, and a few of them."""
        rooms = self._inventory.by_room
        found = [rooms.get(model, []) for model in (cause.models if cause.demand.gpus_milli else tuple(rooms))]
        few = [room[2] for nodes in found for room in nodes[:NODES_LOOKED_AT]]
        return sum(map(len, found)), few[:NODES_LOOKED_AT]

    def _holders(self, names: list[str]) -> list[tuple[str, Holding]]:
        """A few that hold devices, those of the nodes with the least room first."""
        found: list[tuple[str, Holding]] = []
        for name in names:
            for device in self._inventory.nodes[name].devices.values():
                holders = sorted((holder for holder in device.holders if holder in self._holdings), key=str)
                found += [(device.id, self._holdings[holder]) for holder in holders]
        return found

    def _held(self, holders: list[tuple[str, Holding]]) -> str:
        if not holders:
            return ""
        named = [f"{device} is {_held_by(holding)}" for device, holding in holders[:HOLDERS_NAMED]]
        more = "; others too" if len(holders) > HOLDERS_NAMED else ""
        return f" {'; '.join(named)}{more}."

    def _eta(self, step: StepWaiting, holders: list[tuple[str, Holding]]) -> Eta | None:
        """The earliest declared end of one that holds at least as much; none where several must end."""
        if step.demand.ranks > 1:
            return None
        ends = [
            (end, holding.step.name, device)
            for device, holding in holders
            if (end := holding.ends_us()) is not None and holding.step.demand.gpus_milli >= step.demand.gpus_milli
        ]
        if not ends:
            return None
        end, name, device = min(ends)
        return Eta(at_us=end, basis=f"step {name} on {device} has declared to end by then")


def _held_by(holding: Holding) -> str:
    step = holding.step
    state = "being emptied after" if holding.released else "held by"
    return f"{state} step {step.name} of run {step.run_id} (project {step.project})"


def _shown(found: Shortfall, demand: Demand) -> str:
    within = f" within one {demand.required_level}" if demand.required_level else ""
    said = [str(found)] if found.short else []
    if demand.ranks > 1:
        said.append(f"{found.ranks} of its {demand.ranks} ranks would fit{within} now")
    if demand.gpus_milli > found.largest_milli > 0:
        said.append(f"the largest that would fit on one node now is {units.shown('gpu', found.largest_milli)}")
    return f" Nodes, by what they lack: {'; '.join(said)}." if said else ""


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
