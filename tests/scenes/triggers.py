"""A Conductor with a store, a log that it follows and a clock: for what takes time and survives a restart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor, Rows
from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.following import learn_flow
from headwater.core.inbox import LOG, Arrived, Ordered
from headwater.core.records.runs import Run
from headwater.core.trigger_kind import TriggerKind
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.entries.models import FlowDeployed
from headwater.wire.envelope import Event
from headwater.wire.manifest import FlowSpec, TriggerSpec
from headwater.wire.types import Entry, Said
from scenes.conductor import a_flow

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
NOON = 1_793_620_800 * SECOND  # 2026-11-02T12:00:00Z, a Monday
ANY = {"type": "object", "properties": {"n": {}, "m": {}}, "additionalProperties": False}


def a_triggered(*triggers: TriggerSpec, name: str = "train", parameters: Any = None) -> FlowSpec:
    return a_flow(name=name, triggers=triggers, parameters=parameters or ANY, function=f"flow:{name}")


class Life:
    """Decides, keeps the rows as a store would, and hears its own words; `restart` begins again from the rows."""

    def __init__(self, *flows: FlowSpec, now_us: int = NOON, kinds: Sequence[TriggerKind] = ()) -> None:
        self.kinds = kinds
        self.rows: dict[str, dict[Any, Any]] = defaultdict(dict)
        self.said: list[Said] = []
        self.flows = list(flows)
        self.now_us, self.offset, self.heard = now_us, 0, 0
        self._begin()

    def _begin(self) -> None:
        self.machine = Conductor(State(secret=b"s", kinds=self.kinds))
        rows = self.rows
        live = [run for run in rows["runs"].values() if not run.state.ended]
        self.machine.load(
            Rows(
                runs=live,
                timers=list(rows["timers"].values()),
                trigger_states=list(rows["trigger_states"].values()),
                gatherings=[row for row in rows["gatherings"].values() if row.state == "OPEN"],
                parts=list(rows["parts"].values()),
                offsets=list(rows["offsets"].values()),
            )
        )
        for flow in self.flows:
            learn_flow(self.state, _manifest(flow), "v1")
        self.state.book.settle()
        self.state.cursor = (self.state.mail.next_of(LOG) or 1) - 1
        self.tell(m.Started())
        self.tell(m.HostJoined("h1"))

    def restart(self) -> None:
        self._begin()

    @property
    def state(self) -> State:
        return self.machine.state

    def tell(self, event: m.Event) -> Turn:
        turn = self._decide(event)
        while self.heard < len(self.said):
            position, word = self.heard + 1, self.said[self.heard]
            self.heard += 1
            entry = Entry(
                position=position, body=word.body, subject=word.subject, project=word.project,
                principal=word.principal, time_us=word.time_us, run_id=word.run_id, seq=word.seq, labels=word.labels,
            )  # fmt: skip
            self._decide(m.Followed((entry,), position))
        return turn

    def _decide(self, event: m.Event) -> Turn:
        self.now_us += 1
        turn = self.machine.decide(event, self.now_us)
        for table, rows in self.machine.book.changes().items():
            for key, row in rows.items():
                if row is None:
                    self.rows[table].pop(key, None)
                else:
                    self.rows[table][key] = row
        self.said += turn.said
        self.machine.settle()
        return turn

    def lands(self, event_type: str, event_id: str, **data: Any) -> Turn:
        event = Event(id=event_id, source="test", type=event_type, data=data)
        record = Arrived(
            topic="headwater.events", topic_id="t", partition=0, offset=self.offset, previous=self.offset or None,
            parsed=event, raw=b"raw", headers=[], principal="p",
            known=self.rows["inbox"].get(("conductor", "test", event_id)),
        )  # fmt: skip
        self.offset += 1
        return self.tell(record)

    def passes(self, us: int) -> None:
        """So much time, and every wake-up in it at its time."""
        until = self.now_us + us
        while due := [timer.due_us for timer in self.state.timers.values() if timer.due_us <= until]:
            self.now_us = max(self.now_us, min(due))
            self.tell(m.Due())
        self.now_us = until

    def jumps(self, us: int) -> None:
        """The clock is set, or nobody was there: one wake-up after it."""
        self.now_us += us
        self.tell(m.Due())

    def deploys(self, *flows: FlowSpec) -> None:
        self.flows = [old for old in self.flows if old.name not in {new.name for new in flows}] + list(flows)
        for flow in flows:
            body = FlowDeployed(flow=flow.name, code_version="v2", manifest=_manifest(flow))
            self.said.append(Said(body=body, subject=flow.name, project="eta", principal="p", time_us=self.now_us))
        self.tell(m.Due())

    def orders(self, kind: str, **data: Any) -> Any:
        order = calls.Order(
            source="cli", id=f"c{self.now_us}", kind=kind, principal="me", project="eta", data=data, sha256="s"
        )
        return self.tell(Ordered(order=order)).answer

    def ends(self, run_id: str) -> None:
        run = self.state.runs[run_id]
        self.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run_id, fence=run.host_fence, outcome=calls.Outcome())))

    def runs(self) -> list[Run]:
        return sorted(self.rows["runs"].values(), key=lambda run: run.id)

    def states(self) -> list[str]:
        return [run.state for run in self.runs()]

    def outcome(self, event_id: str) -> Any:
        """What became of an event, for its one listener."""
        (outcome,) = next(row.outcome for row in self.rows["inbox"].values() if row.id == event_id)
        return outcome


def _manifest(flow: FlowSpec) -> dict[str, Any]:
    return {"spec": msgspec.to_builtins(flow), "bundle": "b" * 64}
