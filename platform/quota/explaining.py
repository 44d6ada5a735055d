"""Everything there is to say about one step that waits: for whoever asks, so every node may be looked at."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from .admission import Admission, Cause, NoPlace, OverQuota
from .messages import Eta, StepWaiting, Waiting
from .placement.inventory import Inventory
from .placement.shortfall import shortfall
from .queues import line_of
from .reasons import Reasons
from .reservations import Reservations
from .telling import Telling
from .usage import Usage


class Lack(Struct, frozen=True, omit_defaults=True):
    """One cause for each flavour that the step could be charged to, all in base units.

    Of quota: `bound_by` is the tree node whose bound leaves only `room`. Of a place: of `nodes` so many are `short` of
    what, by reason; `ranks` would fit now, and `largest_milli` is the most GPU for one rank.
    """

    flavour: str
    needed: int = 0
    room: int = 0
    bound_by: str = ""
    used: int = 0
    nominal: int = 0
    nodes: int = 0
    short: dict[str, int] = {}
    ranks: int = 0
    largest_milli: int = 0


class Kept(Struct, frozen=True):
    """The place that is kept for the step; `at_us` is when it comes free, where somebody can say."""

    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    at_us: int | None
    basis: str


class Explanation(Struct, frozen=True):
    step_id: str
    project: str
    name: str
    code: str
    sentence: str
    ahead: tuple[str, ...] = ()
    lacks: tuple[Lack, ...] = ()
    kept: Kept | None = None
    eta: Eta | None = None


class Explaining:
    def __init__(
        self, usage: Usage, inventory: Inventory, admission: Admission, reservations: Reservations, telling: Telling
    ) -> None:
        self._usage, self._inventory, self._admission = usage, inventory, admission
        self._reservations, self._telling = reservations, telling

    def why(self, step: StepWaiting, reasons: Reasons) -> Waiting:
        return self._telling.why(step, reasons, self._admission)

    def of(self, step: StepWaiting, reasons: Reasons) -> Explanation:
        """What the step lacks is looked at for itself, whoever stands before it."""
        said, key = self.why(step, reasons), line_of(step)
        causes = self._admission.causes(*key, self._admission.options(key[1]))
        lacks = tuple(lack for cause in causes if (lack := self._lack(step, cause)) is not None)
        return Explanation(
            step.step_id,
            step.project,
            step.name,
            said.code,
            said.sentence,
            said.ahead,
            lacks,
            self._kept(step),
            said.eta,
        )

    def _lack(self, step: StepWaiting, cause: Cause) -> Lack | None:
        match cause:
            case OverQuota(flavour, node, room, needed):
                used, nominal = self._usage.used(step.project, flavour), self._usage.nominal(step.project, flavour)
                return Lack(flavour, needed, room, self._usage.tree.nodes[node].path, used, nominal)
            case NoPlace(demand, models):
                found = shortfall(self._inventory, demand, models)
                places = Lack(self._usage.flavour_of(models[0]) if models else "", demand.gpus_milli * demand.ranks)
                return msgspec.structs.replace(
                    places, nodes=found.nodes, short=found.short, ranks=found.ranks, largest_milli=found.largest_milli
                )
        return None

    def _kept(self, step: StepWaiting) -> Kept | None:
        kept = self._reservations.kept.get(step.step_id)
        if kept is None:
            return None
        seats = kept.placed.seats
        nodes = tuple(dict.fromkeys(seat.node for seat in seats))
        return Kept(nodes, tuple(device for seat in seats for device in seat.devices), kept.at_us, kept.basis)
