"""A Scheduler's desk with a small tree and one node, and the words to drive it."""

from __future__ import annotations

from typing import Any

from headwater.actors.sharing.quota_desk import Answered, Event, Followed, Propose, ProposeReclaims, QuotaDesk, SayHeld
from headwater.core.inbox import Ordered
from headwater.core.turn import Turn
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree
from headwater.wire import calls
from headwater.wire.entries.nodes import Device, NodeJoined
from headwater.wire.entries.steps import StepFailed, StepLeased, StepPreempting, StepSucceeded, StepWaiting
from headwater.wire.terms import Demand, Failure
from headwater.wire.types import Entry


def a_tree(**gpus: int) -> dict[str, Any]:
    """A cohort `local` with a project for each name."""
    return {"version": 1, "cohort": {"local": {"projects": {name: {"gpu": count} for name, count in gpus.items()}}}}


def a_node(gpus: int = 2, node: str = "n") -> NodeJoined:
    devices = tuple(Device(id=f"{node}/{number}", model="logical") for number in range(gpus))
    return NodeJoined(node=node, cpus_milli=8000, memory_bytes=1 << 33, devices=devices, ray_node="r")


def waits(step: int, *, gpus: int = 1, cpus_milli: int = 0, **changes: Any) -> StepWaiting:
    demand = Demand(gpus_milli=gpus * 1000, cpus_milli=cpus_milli, ranks=changes.pop("ranks", 1))
    facts = {"step_id": f"run/{step}", "name": "fit", "ordinal": step, "priority": 0, "since_us": step}
    return StepWaiting(**{**facts, "demand": demand, **changes})


def leased(step: int, fence: int, *devices: str, gpus: int = 1) -> StepLeased:
    demand = Demand(gpus_milli=gpus * 1000, cpus_milli=0)
    return StepLeased(
        step_id=f"run/{step}", name="fit", attempt=1, fence=fence, node="n", devices=devices, demand=demand
    )


def told_to_make_way(step: int, fence: int, for_step: str) -> StepPreempting:
    return StepPreempting(
        step_id=f"run/{step}", name="fit", attempt=1, fence=fence, for_step=for_step, grace_s=30, reason="lent"
    )


def made_way(step: int, fence: int, *devices: str) -> StepFailed:
    failure = Failure(kind="preempted", message="lent")
    return StepFailed(
        step_id=f"run/{step}",
        name="fit",
        attempt=1,
        fence=fence,
        final=False,
        failure=failure,
        devices=devices,
        seen_empty=True,
    )


def succeeded(step: int, fence: int, *devices: str) -> StepSucceeded:
    return StepSucceeded(
        step_id=f"run/{step}", name="fit", attempt=1, fence=fence, duration_us=1, devices=devices, seen_empty=True
    )


def apply(tree: Any, *, command: str = "c1", **more: Any) -> Ordered:
    order = calls.Order(source="cli", id=command, kind="quota.apply", principal="me", project="p", sha256="s")
    return Ordered(order=calls.Order(**{**_fields(order), "data": {"tree": tree, **more}}))


def _fields(order: calls.Order) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__struct_fields__}


class Scene:
    def __init__(self, node: NodeJoined | None = None, **gpus: int) -> None:
        tree = parse_tree(a_tree(**(gpus or {"eta": 2})))
        self.desk = QuotaDesk(Scheduler(tree, 1), None, tree=tree.to_mapping())
        self.position = 0
        self.turn = Turn(0)
        self.written: dict[str, dict[Any, Any]] = {}
        self.follow(node or a_node())

    def follow(self, *bodies: Any, project: str = "eta") -> list[calls.Grant]:
        """What is proposed after these entries."""
        return self.tell(Followed(tuple(self.entry(body, project) for body in bodies)))

    def entry(self, body: Any, project: str = "eta") -> Entry:
        self.position += 1
        facts = {"subject": "run", "principal": "p", "time_us": self.position, "run_id": "run"}
        return Entry(position=self.position, body=body, project=project, **facts)  # type: ignore[arg-type]

    def tell(self, event: Event, *, settle: bool = True) -> list[calls.Grant]:
        self.turn = self.desk.decide(event, self.position)
        if settle:
            self.written = self.desk.book.changes()
            self.desk.settle()
        return [grant for effect in self.turn.effects if isinstance(effect, Propose) for grant in effect.grants]

    def refuse(self, *steps: int, reason: str) -> list[calls.Grant]:
        verdicts = tuple(calls.Verdict(step_id=f"run/{step}", reason=reason) for step in steps)
        return self.tell(Answered(self.number(), verdicts))

    def number(self) -> int:
        """Of the newest proposal."""
        return max(self.desk.asked)

    def reclaims(self) -> list[calls.Reclaim]:
        """What the last event proposed to end."""
        return [one for effect in self.turn.effects if isinstance(effect, ProposeReclaims) for one in effect.reclaims]

    def holds(self) -> list[calls.Hold]:
        return [hold for effect in self.turn.effects if isinstance(effect, SayHeld) for hold in effect.holds]
