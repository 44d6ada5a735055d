"""A Conductor with one flow, and the words to drive it: what hosts, workers, the Scheduler and the outside say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor, Rows
from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.following import learn_flow
from headwater.core.inbox import Arrived, Ordered
from headwater.core.ledger import Away
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.envelope import Event, Rejected
from headwater.wire.manifest import FlowSpec, TriggerSpec
from headwater.wire.terms import Demand, Failure
from headwater.wire.types import Said, type_of

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}},
    "required": ["day"],
    "additionalProperties": False,
}


def a_flow(**changes: Any) -> FlowSpec:
    trigger = TriggerSpec(name="event:landed", kind="event", subject="landed")
    flow = FlowSpec(name="train", project="eta", function="flow:train", parameters=SCHEMA, triggers=(trigger,))
    return msgspec.structs.replace(flow, **changes)


class Scene:
    """Decides one event after another, settles each, and keeps what was said."""

    def __init__(self, *flows: FlowSpec) -> None:
        self.state = State(secret=b"s")
        self.machine = Conductor(self.state)
        for flow in flows or (a_flow(),):
            learn_flow(self.state, {"spec": msgspec.to_builtins(flow), "bundle": "b" * 64}, "v1")
        self.state.book.settle()
        self.now_us, self.offset, self.ordered, self.said = 1_000_000, 0, 0, list[Said]()
        self.rows: dict[str, dict[Any, Any]] = {"runs": {}, "commands": {}, "steps": {}, "pins": {}}

    def tell(self, event: Any, *, settle: bool = True) -> Turn:
        self.now_us += 1
        mark = self.state.book.mark()
        try:
            turn = self.machine.decide(event, self.now_us)
        except Away as away:
            self.state.book.rollback(mark)
            self.machine.take_back(self.rows_of(away.run_ids))
            return self.tell(event, settle=settle)
        self.said += turn.said
        for table, rows in self.state.book.changes().items():
            self.rows.setdefault(table, {}).update(rows)
        if settle:
            self.machine.settle()
        return turn

    def rows_of(self, run_ids: Collection[str]) -> Rows:
        """These runs as a store would have them."""
        return Rows(
            runs=[row for row in self.rows["runs"].values() if row.id in run_ids],
            commands=[row for row in self.rows["commands"].values() if row.run_id in run_ids],
            steps=[row for row in self.rows["steps"].values() if row.run_id in run_ids],
            pins=[row for row in self.rows["pins"].values() if row.run_id in run_ids],
        )

    def types(self) -> list[str]:
        return [type_of(word.body) for word in self.said]

    def arrive(self, parsed: Event | Rejected, *, settle: bool = True, **changes: Any) -> Turn:
        record = Arrived(
            topic="headwater.events",
            topic_id="t",
            partition=0,
            offset=self.offset,
            previous=self.offset or None,
            parsed=parsed,
            raw=b"raw",
            headers=[],
            principal="topic:headwater.events",
        )
        self.offset += 1
        return self.tell(msgspec.structs.replace(record, **changes), settle=settle)

    def landed(self, event_id: str = "e1", **data: Any) -> Turn:
        return self.arrive(Event(id=event_id, source="test", type="landed", data=data or {"day": "monday"}))

    def a_running_run(self) -> str:
        """A run on the host `h1`, under fence 1."""
        self.tell(m.HostJoined("h1"))
        self.landed()
        return next(iter(self.state.runs))

    def issue(self, run_id: str, *commands: calls.Command) -> Turn:
        return self.tell(m.Issued(run_id, self.state.runs[run_id].host_fence, commands))

    def order(self, kind: str, **data: Any) -> Any:
        """What a person's command is answered."""
        self.ordered += 1
        order = calls.Order(
            source="cli", id=f"c{self.ordered}", kind=kind, principal="me", project="eta", data=data, sha256="s"
        )
        return self.tell(Ordered(order=order)).answer

    def grant(self, step_id: str, *devices: str) -> Turn:
        grant = calls.Grant(step_id=step_id, node="n1", devices=devices, tree_version=1, scheduler_epoch=1)
        return self.tell(m.Proposed((grant,)))

    def a_step_at_work(self, run_id: str, *devices: str, **options: Any) -> int:
        """A step of the run, leased to worker `w1`; its fence."""
        self.issue(run_id, a_step(0, **options))
        self.tell(m.WorkerJoined("w1", "n1"))
        verdict = self.grant(f"{run_id}/0", *devices).answer[0]
        assert verdict.fence is not None, verdict
        return int(verdict.fence)

    def reclaim(self, fence: int, step_id: str, grace_s: float = 30.0) -> Turn:
        return self.tell(m.ReclaimsProposed((a_reclaim(fence, step_id, grace_s),)))

    def report(self, fence: int, failure: Failure | None = None, worker: str = "w1") -> Turn:
        payload = None if failure else calls.Payload(inline=b"42", size_bytes=2)
        outcome = calls.Outcome(payload=payload, failure=failure)
        report = calls.Report(fence=fence, worker=worker, started_us=1, ended_us=2, outcome=outcome)
        return self.tell(m.Reported((report,)))


def a_step(ordinal: int, *needs: int, gpus_milli: int = 0, ranks: int = 1, **options: Any) -> calls.Command:
    call = calls.StepCall(
        function="flow:fit",
        arguments=calls.Payload(inline=b"()"),
        needs=needs,
        demand=Demand(gpus_milli=gpus_milli, ranks=ranks),
        **options,
    )
    return calls.Command(ordinal=ordinal, name="fit", key=f"fit#{ordinal}", call=call)


def a_reclaim(fence: int, step_id: str, grace_s: float = 30.0) -> calls.Reclaim:
    return calls.Reclaim(
        fence=fence,
        step_id=step_id,
        for_step="other/0",
        grace_s=grace_s,
        reason="Ended for step fit of project owner.",
        tree_version=1,
        scheduler_epoch=1,
    )


def command(ordinal: int, call: calls.Call) -> calls.Command:
    return calls.Command(ordinal=ordinal, name="c", key=f"c#{ordinal}", call=call)


def delivered(turn: Turn) -> dict[int, calls.Outcome]:
    """What hosts are told, by the command's number."""
    return {effect.answer.ordinal: effect.answer.outcome for effect in turn.effects if isinstance(effect, m.Deliver)}


def value_of(outcome: calls.Outcome) -> Any:
    assert outcome.payload is not None, outcome.failure
    return msgspec.json.decode(outcome.payload.inline or b"")
