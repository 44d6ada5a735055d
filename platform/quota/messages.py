"""What the Scheduler is told (past tense) and what it proposes or says (the effects).

All are values. Amounts are integers: thousandths of GPUs and CPUs, bytes of memory; times are
microseconds UTC. A `Demand` is that of one rank; a gang asks for `ranks` times as much.
A rank asks for a share of one device (below 1000) or for whole devices (a multiple of 1000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ..wire.api.quota import Eta

if TYPE_CHECKING:
    from .tree import Tree


class Demand(Struct, frozen=True):
    """What one rank needs. `required_level`: all ranks within one node, island, rack or block, or not at all;
    `preferred_level`: within the narrowest level that holds them, that one first.
    """

    gpus_milli: int = 0
    gpu_model: str | None = None
    cpus_milli: int = 0
    memory_bytes: int = 0
    ranks: int = 1
    required_level: str | None = None
    preferred_level: str | None = None


class DeviceSpec(Struct, frozen=True):
    id: str
    milli: int = 1000


class NodeSpec(Struct, frozen=True):
    id: str
    cpus_milli: int
    memory_bytes: int
    gpu_model: str = ""
    devices: tuple[DeviceSpec, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    drained: bool = False


class StepWaiting(Struct, frozen=True):
    """A step may go as far as its flow is concerned. `since_us` is its place in time, kept when it comes back.

    An elastic gang goes with any number of ranks from `ranks_min` (0: not elastic) to `demand.ranks`.
    `once`: it may run at most once, so it is never ended for another and never borrows. `evictions`: how
    often it was ended for another already. `tier` is 0 where it is of its project's.
    """

    step_id: str
    run_id: str
    project: str
    name: str
    demand: Demand
    since_us: int
    priority: int = 0
    max_runtime_s: int | None = None
    min_runtime_s: int = 0
    ranks_min: int = 0
    once: bool = False
    evictions: int = 0
    flow: str = ""
    tier: int = 0


class StepGone(Struct, frozen=True):
    step_id: str


class AttemptLeased(Struct, frozen=True):
    """The Conductor took a grant, or (after a restart) what it took earlier. One tuple of devices per rank.

    `nodes` is empty where all ranks are on `node`. The fields from `project` on are needed only for a step
    that this Scheduler has not seen waiting. `place` is the fence of another attempt where this one goes along with
    it: they share that one's place and quota, which are free when the last of them is released.
    """

    step_id: str
    fence: int
    node: str
    devices: tuple[tuple[str, ...], ...]
    demand: Demand
    nodes: tuple[str, ...] = ()
    now_us: int = 0
    project: str = ""
    run_id: str = ""
    name: str = ""
    max_runtime_s: int | None = None
    priority: int = 0
    min_runtime_s: int = 0
    once: bool = False
    ranks_min: int = 0
    evictions: int = 0
    place: int = 0
    flow: str = ""
    tier: int = 0


class AttemptReleased(Struct, frozen=True):
    """The attempt is over: its quota, CPUs and memory are free, its devices when they are seen empty. Where it is
    `kept`, what it had stays taken for the next that goes along with it, until `PlaceLeft`."""

    fence: int
    kept: bool = False


class PlaceLeft(Struct, frozen=True):
    """What was kept under this fence is free; all that was kept with 0."""

    fence: int


class DeviceFreed(Struct, frozen=True):
    """Devices seen empty of what was released on them; with a fence, of that attempt alone."""

    device_ids: tuple[str, ...]
    fence: int | None = None


class DeviceQuarantined(Struct, frozen=True):
    device_ids: tuple[str, ...]


class DeviceRestored(Struct, frozen=True):
    """Back from quarantine, empty."""

    device_ids: tuple[str, ...]


class NodeJoined(Struct, frozen=True):
    """A node as it is now; for a known one, its new devices, capacity and drain state."""

    node: NodeSpec


class NodeLeft(Struct, frozen=True):
    node_id: str


class NodeDrained(Struct, frozen=True):
    node_id: str


class TreeChanged(Struct, frozen=True):
    tree: Tree
    version: int


class GrantRefused(Struct, frozen=True):
    """`reason` STEP_NOT_WAITING forgets the step; after any other it is decided again with the next event."""

    step_id: str
    reason: str


class AttemptCheckpointed(Struct, frozen=True):
    """What the attempt did until `at_us` is not lost if it ends."""

    fence: int
    at_us: int


class AttemptLeaving(Struct, frozen=True):
    """The attempt was told at `at_us` to make way for `for_step`, by `due_us`. Known already where this Scheduler
    proposed it; after a restart its project has one eviction more, and the place is kept for the step anew.
    """

    fence: int
    for_step: str
    project: str
    at_us: int
    due_us: int


class ReclaimRefused(Struct, frozen=True):
    """The attempt is not ended: it is over already, or may not be. It is not asked again; what it was to end for is."""

    fence: int
    reason: str


class Ticked(Struct, frozen=True):
    """Nothing happened; what was put off (a refused grant, a fresh start) is decided."""

    now_us: int


STEP_NOT_WAITING = "step_not_waiting"

Event = (
    StepWaiting
    | StepGone
    | AttemptLeased
    | AttemptReleased
    | PlaceLeft
    | DeviceFreed
    | DeviceQuarantined
    | DeviceRestored
    | NodeJoined
    | NodeLeft
    | NodeDrained
    | TreeChanged
    | GrantRefused
    | AttemptCheckpointed
    | AttemptLeaving
    | ReclaimRefused
    | Ticked
)


class Grant(Struct, frozen=True):
    """A proposal: this step may go, here. `devices` and `nodes` hold one entry per rank."""

    step_id: str
    project: str
    node: str
    devices: tuple[tuple[str, ...], ...]
    tree_version: int
    nodes: tuple[str, ...]
    flavour: str | None = None


class Waiting(Struct, frozen=True):
    """Why a step waits; said again only when `code`, quota node or flavour changes. `ahead` is cut at ten."""

    step_id: str
    code: str
    sentence: str
    ahead: tuple[str, ...] = ()
    eta: Eta | None = None


class Impossible(Struct, frozen=True):
    """Refused for good: no node or no quota could ever hold it. The step is forgotten."""

    step_id: str
    sentence: str


class Reclaim(Struct, frozen=True):
    """A proposal: this attempt is signalled to save its work and ended after the grace, for `for_step`."""

    fence: int
    step_id: str
    project: str
    for_step: str
    grace_s: int
    reason: str


Effect = Grant | Waiting | Impossible | Reclaim
