"""Everything there is to say about one step that waits: for whoever asks, so every node may be looked at."""

from __future__ import annotations

from collections.abc import Callable

from ..wire.api.quota import Eta, Kept, Lack, StepExplained
from .admission import Admission, Cause, NoPlace, OverQuota
from .messages import StepWaiting, Waiting
from .placement.inventory import Inventory
from .placement.shortfall import shortfall
from .queues import line_of
from .reasons import Reasons
from .reservations import Reservations
from .telling import RESERVED, Telling
from .usage import Usage


class Explaining:
    def __init__(
        self,
        usage: Usage,
        inventory: Inventory,
        admission: Admission,
        reservations: Reservations,
        telling: Telling,
    ) -> None:
        self._usage, self._inventory, self._admission = usage, inventory, admission
        self._reservations, self._telling = reservations, telling

    def why(self, step: StepWaiting, reasons: Reasons) -> Waiting:
        return self._telling.why(step, reasons, self._admission)

    def of(
        self, step: StepWaiting, reasons: Reasons, foreseen: Callable[[], Eta | None], *, now_us: int
    ) -> StepExplained:
        """What the step lacks is looked at for itself, whoever stands before it."""
        said, key = self.why(step, reasons), line_of(step)
        causes = self._admission.causes(*key, self._admission.options(key[1]))
        lacks = tuple(lack for cause in causes if (lack := self._lack(step, cause)) is not None)
        return StepExplained(
            step_id=step.step_id,
            project=step.project,
            name=step.name,
            code=said.code,
            sentence=said.sentence,
            ahead=said.ahead,
            lacks=lacks,
            kept=self._kept(step),
            eta=_not_past(said.eta if said.code == RESERVED else foreseen(), now_us),
        )

    def _lack(self, step: StepWaiting, cause: Cause) -> Lack | None:
        match cause:
            case OverQuota(flavour, node, room, needed):
                used, nominal = self._usage.used(step.project, flavour), self._usage.nominal(step.project, flavour)
                path = self._usage.tree.nodes[node].path
                return Lack(flavour=flavour, needed=needed, room=room, bound_by=path, used=used, nominal=nominal)
            case NoPlace(demand, models):
                found = shortfall(self._inventory, demand, models)
                return Lack(
                    flavour=self._usage.flavour_of(models[0]) if models else "",
                    needed=demand.gpus_milli * demand.ranks,
                    nodes=found.nodes,
                    short=found.short,
                    ranks=found.ranks,
                    largest_milli=found.largest_milli,
                )
        return None

    def _kept(self, step: StepWaiting) -> Kept | None:
        kept = self._reservations.kept.get(step.step_id)
        if kept is None:
            return None
        seats = kept.placed.seats
        nodes = tuple(dict.fromkeys(seat.node for seat in seats))
        devices = tuple(device for seat in seats for device in seat.devices)
        return Kept(nodes=nodes, devices=devices, at_us=kept.at_us, basis=kept.basis)


def _not_past(eta: Eta | None, now_us: int) -> Eta | None:
    """What should have been by now may be at any time."""
    return eta if eta is None or eta.at_us >= now_us else Eta(at_us=now_us, basis=f"overdue: {eta.basis}")
