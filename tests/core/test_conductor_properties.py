"""Any sequence of events, restarts among them, keeps the promises of the Conductor.

The rows that each decision leads to are kept as a store would keep them; a restart rebuilds the machine from them
and from nothing else. Every decision is also taken back once and compared, before it is made again and kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scenes.conductor import a_flow, a_reclaim, a_step

from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor, Rows
from headwater.core.conductor.runs.waiting import taken_by
from headwater.core.conductor.state import State
from headwater.core.conductor.steps.members import workers_of
from headwater.core.conductor.steps.together import kind_of
from headwater.core.conductor.triggers.following import learn_flow
from headwater.core.inbox import LOG, Arrived, Ordered
from headwater.core.ledger import Away, Groups, Ledger
from headwater.core.records.attempts import AttemptState
from headwater.core.records.leases import LeaseState
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import StepState
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.entries.steps import StepFailed, StepLeased, StepPlaceLeft, StepPreempting, StepSucceeded
from headwater.wire.envelope import Event
from headwater.wire.terms import Failure
from headwater.wire.types import TERMINAL, Entry, Said, type_of

GANG = ("n1", "n2", "n1")
DEVICES = ("n1/0", "n1/1", "n2/0")
PICK = st.integers(0, 1_000)
SELDOM = st.sampled_from([False] * 11 + [True])
FAILURES = st.sampled_from([None, None, "exception", "timeout", "cancelled"])


def everything(state: State) -> dict[str, object]:
    """All that the machine knows, for comparison."""
    seen: dict[str, object] = {"cursor": state.cursor}
    for name, part in [*vars(state).items(), *((f"mail.{name}", part) for name, part in vars(state.mail).items())]:
        if isinstance(part, Ledger):
            seen[name] = {key: part[key] for key in part}
        elif isinstance(part, Groups):
            seen[name] = {group: part.of(group) for group in part.groups()}
    return seen


def runs_live(machine: AnySequence) -> bool:
    return len(machine.state.runs) > 0


def attempts_live(machine: AnySequence) -> bool:
    return len(machine.state.attempts) > 0


def steps_wait(machine: AnySequence) -> bool:
    return any(step.state is StepState.WAITING for step in machine.state.steps.values())


def picked(options: list[Any], pick: int) -> Any:
    return options[pick % len(options)] if options else None


class AnySequence(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, dict[Any, Any]] = defaultdict(dict)
        self.log: list[Said] = []
        self.workers: dict[str, str] = {}
        self.accepted_late: set[int] = set()
        self.set_aside: set[str] = set()
        self.now_us, self.offset, self.names = 1_000_000, 0, 0

    # The store and the shell.

    def tell(self, event: m.Event) -> Turn:
        self.now_us += 1
        while not self.has_all_that_it_takes(event):
            pass
        before = everything(self.state)
        self.machine.decide(event, self.now_us)
        self.machine.book.rollback()
        assert everything(self.state) == before
        assert self.machine.book.changes() == {}
        turn = self.machine.decide(event, self.now_us)
        self.commit(turn)
        for effect in turn.effects:
            if isinstance(effect, m.LookUp):
                self.tell(m.LookedUp(effect.step_id, self.rows["step_cache"].get(effect.key)))
        return turn

    def has_all_that_it_takes(self, event: m.Event) -> bool:
        """Where the decision asks for runs that are away, they are taken back."""
        try:
            self.machine.decide(event, self.now_us)
        except Away as away:
            self.machine.book.rollback()
            self.machine.take_back(self.rows_of(away.run_ids))
            return False
        self.machine.book.rollback()
        return True

    def rows_of(self, run_ids: Collection[str]) -> Rows:
        rows = self.rows
        return Rows(
            runs=[row for row in rows["runs"].values() if row.id in run_ids],
            commands=[row for row in rows["commands"].values() if row.run_id in run_ids],
            steps=[row for row in rows["steps"].values() if row.run_id in run_ids],
            pins=[row for row in rows["pins"].values() if row.run_id in run_ids],
        )

    def commit(self, turn: Turn) -> None:
        for table, rows in self.machine.book.changes().items():
            for key, row in rows.items():
                if row is None:
                    self.rows[table].pop(key, None)
                else:
                    self.rows[table][key] = row
        self.log += turn.said
        self.machine.settle()

    @property
    def state(self) -> State:
        return self.machine.state

    def runs(self) -> list[Run]:
        return sorted(self.state.runs.values(), key=lambda run: run.id)

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    # Events.

    @initialize()
    def begin(self) -> None:
        self.rebuild(0)
        self.host_joined()
        self.arrive(0, "monday")

    @rule(keep=PICK, now=SELDOM)
    def restart(self, keep: int, now: bool) -> None:
        if now:
            self.rebuild(keep)
            self.host_joined()

    def rebuild(self, keep: int) -> None:
        """Hosts of the earlier life are ended; some workers have lived on."""
        rows = self.rows
        doubtful = {step.id for step in rows["steps"].values() if step.state is StepState.NEEDS_ATTENTION}
        every = rows["attempts"].values()
        holders = {attempt.run_id for attempt in every if attempt.state.live}
        attempts = [attempt for attempt in every if attempt.state.live or attempt.step_id in doubtful]
        runs = [run for run in rows["runs"].values() if not run.state.ended or run.id in holders]
        ids = {run.id for run in runs}
        state = State(secret=b"s")
        self.machine = Conductor(state)
        learn_flow(state, {"spec": msgspec.to_builtins(a_flow()), "bundle": "b" * 64}, "v1")
        state.book.settle()
        self.machine.load(
            Rows(
                runs=runs,
                commands=[row for row in rows["commands"].values() if row.run_id in ids],
                steps=[row for row in rows["steps"].values() if row.run_id in ids],
                attempts=attempts,
                leases=[row for row in rows["leases"].values() if row.state is LeaseState.HELD],
                timers=list(rows["timers"].values()),
                pins=[row for row in rows["pins"].values() if row.run_id in ids],
                offsets=list(rows["offsets"].values()),
            )
        )
        state.cursor = (state.mail.next_of(LOG) or 1) - 1
        self.workers = {w: node for index, (w, node) in enumerate(self.workers.items()) if keep >> index & 1}
        self.tell(m.Started(tuple(m.WorkerJoined(w, node, None, "v1") for w, node in self.workers.items())))

    @rule(number=st.integers(0, 5), day=st.sampled_from(["monday", "monday", "tuesday"]))
    def arrive(self, number: int, day: str) -> None:
        event = Event(id=f"e{number}", source="test", type="landed", data={"day": day})
        known = self.rows["inbox"].get(("conductor", "test", f"e{number}"))
        record = Arrived(
            topic="headwater.events",
            topic_id="t",
            partition=0,
            offset=self.offset,
            previous=self.offset or None,
            parsed=event,
            raw=b"raw",
            headers=[],
            principal="p",
            known=known,
        )
        self.offset += 1
        self.tell(record)

    @rule()
    def host_joined(self) -> None:
        if len(self.state.hosts) < 3:
            self.tell(m.HostJoined(self.name("h")))

    @rule(pick=PICK, now=SELDOM)
    def host_lost(self, pick: int, now: bool) -> None:
        host = picked(list(self.state.hosts), pick)
        if now and host:
            self.tell(m.HostLost(host, "killed"))

    @precondition(runs_live)
    @rule(
        pick=PICK, need=PICK, asked=st.sampled_from([(0, 1), (500, 1), (1000, 1), (0, 3)]), retries=st.integers(0, 1),
        stale=PICK,
    )  # fmt: skip
    def issue_step(self, pick: int, need: int, asked: tuple[int, int], retries: int, stale: int) -> None:
        milli, ranks = asked
        if run := picked(self.runs(), pick):
            ordinal = len(self.state.commands_of.of(run.id))
            needs = (need % ordinal,) if ordinal and need % 2 else ()
            effect = "once" if need % 5 == 0 else "retry"
            step = a_step(ordinal, *needs, gpus_milli=milli, ranks=ranks, retries=retries, effect=effect)
            self.tell(m.Issued(run.id, run.host_fence - (stale % 9 == 0), (step,)))

    @rule(
        pick=PICK,
        call=st.sampled_from(
            [
                calls.NowCall(),
                calls.SleepCall(duration_us=5_000),
                calls.SleepCall(duration_us=50),
                calls.RegisterCall(name="delay", digest="d", runtime="onnx"),
                calls.PublishCall(event_type="done"),
            ]
        ),
    )
    def issue(self, pick: int, call: calls.Call) -> None:
        if run := picked(self.runs(), pick):
            ordinal = len(self.state.commands_of.of(run.id))
            command = calls.Command(ordinal=ordinal, name="c", key=f"c#{ordinal}", call=call)
            self.tell(m.Issued(run.id, run.host_fence, (command,)))

    @precondition(runs_live)
    @rule(
        pick=PICK, of=st.lists(PICK, min_size=1, max_size=3), kind=st.sampled_from(["first", "deadline", "wait", "run"])
    )
    def issue_a_wait(self, pick: int, of: list[int], kind: str) -> None:
        run = picked(self.runs(), pick)
        if run is None:
            return
        ordinal = len(self.state.commands_of.of(run.id))
        awaited = tuple({each % ordinal for each in of}) if ordinal else ()
        call: calls.Call = calls.RunCall(project="eta", flow="train" if pick % 5 else "gone")
        if kind == "wait":
            where = [None, "data.day == 'monday'", "data.nothing > 1"][pick % 3]
            call = calls.WaitCall(event_type="landed", where=where, timeout_us=[None, 90][pick % 2])
        elif kind == "first" and awaited:
            call = calls.FirstCall(of=awaited)
        elif kind == "deadline" and awaited:
            call = calls.DeadlineCall(of=awaited[0], duration_us=80)
        command = calls.Command(ordinal=ordinal, name=kind, key=f"{kind}#{ordinal}", call=call)
        self.tell(m.Issued(run.id, run.host_fence, (command,)))

    @precondition(runs_live)
    @rule(pick=PICK, waits=st.lists(PICK, min_size=1, max_size=3), stale=PICK)
    def park(self, pick: int, waits: list[int], stale: int) -> None:
        run = picked(self.runs(), pick)
        ordinals = self.state.commands_of.of(run.id) if run else []
        if run and ordinals:
            chosen = tuple(picked(ordinals, each) for each in waits)
            self.tell(m.Parked(run.id, run.host_fence - (stale % 9 == 0), chosen))

    @rule(pick=PICK)
    def issue_again(self, pick: int) -> None:
        if run := picked(self.runs(), pick):
            rows = [self.state.commands[run.id, ordinal] for ordinal in self.state.commands_of.of(run.id)]
            self.tell(m.Issued(run.id, run.host_fence, tuple(row.command for row in rows)))

    @precondition(steps_wait)
    @rule(pick=PICK, devices=st.lists(st.sampled_from(DEVICES), max_size=2, unique=True))
    def grant(self, pick: int, devices: list[str]) -> None:
        waiting = sorted(step.id for step in self.state.steps.values() if step.state is StepState.WAITING)
        step_id = picked(waiting, pick) if pick % 7 else picked(sorted(self.state.steps), pick)
        if step_id:
            chosen = tuple(devices) if self.state.steps[step_id].demand.gpus_milli else ()
            nodes = GANG if self.state.steps[step_id].demand.ranks > 1 else ()
            grant = calls.Grant(
                step_id=step_id, node="n1", devices=chosen, tree_version=1, scheduler_epoch=1, nodes=nodes
            )
            self.tell(m.Proposed((grant,)))

    @rule(pick=PICK, final=st.booleans())
    def hold(self, pick: int, final: bool) -> None:
        if step_id := picked(sorted(self.state.steps), pick):
            self.tell(m.HeldBack((calls.Hold(step_id=step_id, code="quota", reason=f"r{pick}", final=final),)))

    @rule(pick=PICK, node=st.sampled_from(["n1", "n2"]))
    def worker_joined(self, pick: int, node: str) -> None:
        fence = picked([None, *sorted(self.state.starting_workers)], pick)
        worker = self.name("w")
        self.workers[worker] = node
        self.tell(m.WorkerJoined(worker, node, fence))

    @rule(pick=PICK, now=SELDOM)
    def worker_lost(self, pick: int, now: bool) -> None:
        worker = picked(list(self.workers), pick)
        if now and worker:
            del self.workers[worker]
            cause = Failure(kind="signal", message="Segmentation fault") if pick % 2 else None
            self.tell(m.WorkerLost(worker, "killed", cause))

    @precondition(lambda self: len(self.state.starting_workers) > 0)
    @rule(pick=PICK)
    def worker_for_an_attempt(self, pick: int) -> None:
        fence = picked(sorted(self.state.starting_workers), pick)
        worker, node = self.name("w"), self.state.starting_workers[fence]
        self.workers[worker] = node
        self.tell(m.WorkerJoined(worker, node, fence))

    @precondition(lambda self: len(self.state.starting_workers) > 0)
    @rule(pick=PICK)
    def worker_not_started(self, pick: int) -> None:
        if fence := picked(sorted(self.state.starting_workers), pick):
            self.tell(m.WorkerNotStarted(fence, "no room"))

    @rule(pick=PICK, kind=FAILURES, other=PICK)
    def report(self, pick: int, kind: str | None, other: int) -> None:
        """From the worker that has it, mostly; late, repeated and foreign reports among them."""
        if fence := picked(sorted(self.rows["attempts"]), pick):
            worker = self.rows["attempts"][fence].worker if other % 6 else picked(list(self.workers), other)
            if fence in self.state.doubtful:
                self.accepted_late.add(fence)
            self.tell(self.a_report(fence, worker or "nobody", kind))

    @precondition(attempts_live)
    @rule(pick=PICK, kind=FAILURES)
    def report_what_runs(self, pick: int, kind: str | None) -> None:
        self.say_of(picked(self.at_work(), pick), kind)

    @rule(pick=PICK, count=st.integers(2, 4))
    def one_step_after_another(self, pick: int, count: int) -> None:
        """As long as each goes well. A worker is there mostly, and other steps wait at times."""
        for _ in range(count):
            run = picked(self.runs(), pick)
            if run is None or run.host is None:
                return
            ordinal = len(self.state.commands_of.of(run.id))
            self.tell(m.Issued(run.id, run.host_fence, (a_step(ordinal),)))
            step_id = f"{run.id}/{ordinal}"
            grant = calls.Grant(step_id=step_id, node="n1", devices=(), tree_version=1, scheduler_epoch=1)
            self.tell(m.Proposed((grant,)))
            for attempt in [one for one in self.state.attempts.values() if one.step_id == step_id and one.worker]:
                self.say_of((attempt.fence, attempt.worker or ""), None)

    def at_work(self) -> list[tuple[int, str]]:
        every = sorted(self.state.attempts.values(), key=lambda one: one.fence)
        return [(one.fence, worker) for one in every if one.state.live for worker in workers_of(one)]

    def say_of(self, at_work: tuple[int, str] | None, kind: str | None) -> None:
        if at_work is not None:
            self.tell(self.a_report(*at_work, kind))

    @precondition(lambda self: any(attempt.members for attempt in self.state.attempts.values()))
    @rule(pick=PICK, again=PICK)
    def join(self, pick: int, again: int) -> None:
        for fence, worker in self.at_work()[pick % 3 :]:
            attempt = self.state.attempts[fence]
            if attempt.members:
                self.tell(m.Joined(fence, worker, attempt.secret, f"h:{again}"))

    @precondition(attempts_live)
    @rule(pick=PICK)
    def call_back(self, pick: int) -> None:
        """A worker gives back what it has not begun."""
        at_work = [worker for worker in self.state.workers.values() if len(worker.fences) > 1]
        if worker := picked(sorted(at_work, key=lambda one: one.id), pick):
            reported = self.a_report(worker.fences[-1], worker.id, None).reports[0]
            self.tell(m.Reported((msgspec.structs.replace(reported, begun=False),)))

    @precondition(lambda self: len(self.state.doubtful) > 0)
    @rule(pick=PICK, kind=FAILURES)
    def report_what_was_given_up(self, pick: int, kind: str | None) -> None:
        if fence := picked(sorted(self.state.doubtful), pick):
            self.accepted_late.add(fence)
            self.tell(self.a_report(fence, self.state.attempts[fence].worker or "", kind))

    @precondition(lambda self: any(run.state == "NEEDS_ATTENTION" for run in self.state.runs.values()))
    @rule(pick=PICK, kind=st.sampled_from(["run.accept", "run.retry", "run.fail"]), force=st.booleans())
    def attend(self, pick: int, kind: str, force: bool) -> None:
        run = picked([run for run in self.runs() if run.state == "NEEDS_ATTENTION"], pick)
        named = picked(["", *sorted(self.state.doubtful.values())], pick // 7)
        self.order(kind, run_id=run.id, step=named, force=force, value=7)

    def a_report(self, fence: int, worker: str, kind: str | None) -> m.Reported:
        failure = Failure(kind=kind, message="boom") if kind else None
        outcome = calls.Outcome(payload=None if failure else calls.Payload(inline=b"42"), failure=failure)
        return m.Reported((calls.Report(fence=fence, worker=worker, started_us=1, ended_us=2, outcome=outcome),))

    @precondition(attempts_live)
    @rule(pick=PICK, first=st.booleans())
    def start(self, pick: int, first: bool) -> None:
        if attempt := picked(sorted(self.state.attempts.values(), key=lambda one: one.fence), pick):
            worker = attempt.worker or "nobody"
            claim = m.Claimed(attempt.fence, worker, attempt.secret)
            self.tell(claim if first else m.Progressed(attempt.fence, worker, self.now_us))

    @precondition(attempts_live)
    @rule(pick=PICK, again=st.booleans())
    def reclaim(self, pick: int, again: bool) -> None:
        attempt = picked(sorted(self.state.attempts.values(), key=lambda one: one.fence), pick)
        reclaim = a_reclaim(attempt.fence, attempt.step_id)
        for _ in range(1 + again):
            self.tell(m.ReclaimsProposed((reclaim,)))

    @precondition(lambda self: any(attempt.preemption for attempt in self.state.attempts.values()))
    @rule(pick=PICK)
    def make_way(self, pick: int) -> None:
        told = [each for each in self.at_work() if self.state.attempts[each[0]].preemption is not None]
        self.say_of(picked(told, pick), "preempted")

    @rule(pick=PICK, now=SELDOM)
    def cancel(self, pick: int, now: bool) -> None:
        run = picked(sorted(self.rows["runs"].values(), key=lambda run: run.id), pick)
        if now and run and not run.state.ended:
            self.order_cancel(run.id)

    def order_cancel(self, run_id: str) -> None:
        self.order("run.cancel", run_id=run_id)

    def order(self, kind: str, **data: Any) -> None:
        name = self.name("c")
        order = calls.Order(source="cli", id=name, kind=kind, principal="me", project="eta", data=data, sha256=name)
        self.tell(Ordered(order=order))

    @rule(after_us=st.sampled_from([0, 60, 6_000, 10_000_000]))
    def due(self, after_us: int) -> None:
        self.now_us += after_us
        self.tell(m.Due())

    @rule(pick=PICK, failed=st.booleans(), stale=PICK, now=SELDOM)
    def function_ended(self, pick: int, failed: bool, stale: int, now: bool) -> None:
        run = picked(self.runs(), pick)
        if now and run:
            outcome = calls.Outcome(failure=Failure(kind="exception", message="boom") if failed else None)
            fence = run.host_fence - (stale % 9 == 0)
            self.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run.id, fence=fence, outcome=outcome)))

    @rule(pick=PICK)
    def pin(self, pick: int) -> None:
        self.state.tables.load("lake.x", calls.PinnedTable(name="lake.x", metadata_location="m", snapshot_id=pick))
        if run_id := picked(sorted(self.rows["runs"]), pick):
            self.tell(m.Pinned(run_id, "table", "lake.x"))

    @rule(now=SELDOM)
    def node_left(self, now: bool) -> None:
        if not now:
            return
        position = self.state.cursor + 1
        body = NodeLeft(node="n1", reason="gone")
        entry = Entry(position=position, body=body, subject="n1", project="eta", principal="p", time_us=1)
        self.tell(m.Followed((entry,), position))

    @rule(pick=PICK, now=SELDOM)
    def a_decision_raises(self, pick: int, now: bool) -> None:
        run = picked(self.runs(), pick)
        if now and run:
            event = m.Issued(run.id, run.host_fence, ())
            self.set_aside.add(run.id)
            self.commit(self.machine.set_aside(event, self.now_us, ValueError("bad")))

    # Promises.

    @invariant()
    def a_step_succeeds_at_most_once(self) -> None:
        attempts = self.rows["attempts"].values()
        won = Counter(attempt.step_id for attempt in attempts if attempt.state is AttemptState.SUCCEEDED)
        assert all(count == 1 for count in won.values())
        assert set(won) == {s.id for s in self.rows["steps"].values() if s.state is StepState.SUCCEEDED}

    @invariant()
    def those_that_wait_for_company_are_those_that_wait(self) -> None:
        state = self.state
        queued = {step_id for kind in state.waiting_of.groups() for step_id in state.waiting_of.of(kind)}
        waiting = [step for step in state.steps.values() if step.state is StepState.WAITING]
        assert queued == {step.id for step in waiting if kind_of(step) is not None}

    @invariant()
    def attempts_that_share_a_place_share_a_worker(self) -> None:
        places: dict[int, set[str | None]] = defaultdict(set)
        for attempt in self.state.attempts.values():
            if attempt.place:
                places[attempt.place].add(attempt.worker)
                assert not attempt.devices
        assert all(len(workers) == 1 and None not in workers for workers in places.values())

    @invariant()
    def a_worker_is_busy_with_its_live_attempts(self) -> None:
        for worker in self.state.workers.values():
            for fence in worker.fences:
                attempt = self.state.attempts.get(fence)
                bound = set() if attempt is None else {attempt.worker, *(member.worker for member in attempt.members)}
                assert attempt is None or worker.id in bound

    @invariant()
    def a_place_is_kept_for_a_run_on_a_host_and_nobody_runs_there(self) -> None:
        live = {attempt.place or attempt.fence for attempt in self.state.attempts.values() if attempt.state.live}
        for run_id, kept in [(each, self.state.kept[each]) for each in self.state.kept]:
            assert self.state.runs[run_id].state is RunState.RUNNING
            assert kept.place.fence not in live

    @invariant()
    def a_place_is_left_once_for_each_time_it_was_kept_and_nobody_went_on_there(self) -> None:
        taken: set[int] = set()
        places = {attempt.fence: attempt.place or attempt.fence for attempt in self.rows["attempts"].values()}
        for body in (word.body for word in self.log):
            if isinstance(body, StepSucceeded) and body.kept:
                taken.add(places[body.fence])
            elif isinstance(body, StepLeased):
                taken.discard(body.place)
            elif isinstance(body, StepPlaceLeft) and body.fence:
                assert body.fence in taken
                taken.remove(body.fence)
            elif isinstance(body, StepPlaceLeft):  # a restart: what was kept is forgotten
                taken.clear()
        assert {kept.place.fence for kept in self.state.kept.values()} == taken

    @invariant()
    def a_run_is_numbered_without_gaps(self) -> None:
        numbers: dict[str, list[int | None]] = defaultdict(list)
        for word in self.log:
            if word.run_id is not None:
                numbers[word.run_id].append(word.seq)
        for run_id, row in self.rows["runs"].items():
            assert numbers[run_id] == list(range(1, row.seq + 1))

    @invariant()
    def no_device_is_lent_twice(self) -> None:
        lent: Counter[str] = Counter()
        for lease in self.rows["leases"].values():
            lent[lease.device] += lease.milli if lease.state is LeaseState.HELD else 0
        assert all(milli <= 1000 for milli in lent.values())

    @invariant()
    def an_attempt_makes_way_only_where_it_was_told_to_and_may_run_again(self) -> None:
        preempting = Counter(word.body.fence for word in self.log if isinstance(word.body, StepPreempting))
        for attempt in self.rows["attempts"].values():
            assert preempting[attempt.fence] == (attempt.preemption is not None)
            if attempt.state is AttemptState.PREEMPTED:
                assert attempt.preemption is not None
            if attempt.preemption is not None:
                assert self.rows["steps"][attempt.step_id].effect != "once"

    @invariant()
    def a_gang_runs_only_when_all_have_joined_and_lives_until_all_have_ended(self) -> None:
        for attempt in self.rows["attempts"].values():
            if attempt.members and attempt.state is AttemptState.RUNNING and attempt.failure is None:
                assert all(member.address for member in attempt.members)
            if attempt.members and attempt.state.live:
                assert any(member.report is None for member in attempt.members)

    @invariant()
    def a_worker_is_at_one_attempt_or_at_those_of_one_place(self) -> None:
        attempts = self.state.attempts
        busy = Counter(worker for worker, _ in {(w, attempts[f].place or f) for f, w in self.at_work()})
        assert all(count == 1 for count in busy.values())

    @invariant()
    def what_made_way_eats_no_retries(self) -> None:
        made_way = Counter(a.step_id for a in self.rows["attempts"].values() if a.state is AttemptState.PREEMPTED)
        failed = Counter(a.step_id for a in self.rows["attempts"].values() if a.state is AttemptState.FAILED)
        for step in self.rows["steps"].values():
            assert step.evictions == made_way[step.id]
            assert step.failures <= failed[step.id]

    @invariant()
    def a_run_ends_once(self) -> None:
        last = TERMINAL - {"run.needs_attention"}
        ends = Counter(word.run_id for word in self.log if type_of(word.body) in last)
        for run in self.rows["runs"].values():
            assert ends[run.id] == run.state.ended

    @invariant()
    def an_attempt_that_ended_was_told_once(self) -> None:
        told = Counter(word.body.fence for word in self.log if isinstance(word.body, StepSucceeded | StepFailed))
        for attempt in self.rows["attempts"].values():
            late = attempt.fence in self.accepted_late and attempt.state is AttemptState.SUCCEEDED
            assert told[attempt.fence] == (not attempt.state.live) + late

    @invariant()
    def a_step_has_a_live_attempt_exactly_while_it_is_at_work(self) -> None:
        live = Counter(attempt.step_id for attempt in self.rows["attempts"].values() if attempt.state.live)
        for step in self.rows["steps"].values():
            at_work = step.state in (StepState.LEASED, StepState.RUNNING)
            assert live[step.id] == at_work

    @invariant()
    def a_step_is_blocked_exactly_while_inputs_are_missing(self) -> None:
        for step in self.state.steps.values():
            if step.state is StepState.BLOCKED:
                rows = [self.state.commands[step.run_id, ordinal] for ordinal in step.needs]
                assert step.missing == sum(row.outcome is None for row in rows) > 0

    @invariant()
    def what_ended_leaves_memory(self) -> None:
        for run in self.state.runs.values():
            assert not run.state.ended or self.state.live_of.count(run.id)
        doubtful = self.state.doubtful
        assert all(attempt.state.live or attempt.fence in doubtful for attempt in self.state.attempts.values())
        assert {run_id for run_id, _ in self.state.commands} <= set(self.state.runs)
        assert {key[0] for key in self.state.pins} <= set(self.state.runs)

    @invariant()
    def a_run_at_work_has_a_host_or_waits_for_one(self) -> None:
        state = self.state
        homeless = {run_id for version in state.homeless.groups() for run_id in state.homeless.of(version)}
        placed = {run_id for host in state.runs_on.groups() for run_id in state.runs_on.of(host)}
        assert set(state.runs_on.groups()) <= set(state.hosts)
        at_work = {run.id for run in state.runs.values() if run.state in ("PENDING", "RUNNING")}
        parked = {run.id for run in state.runs.values() if run.id in at_work and run.parked}
        assert at_work == homeless | placed | parked
        assert not homeless & placed
        assert not parked & placed

    @invariant()
    def a_parked_run_waits_for_something_that_is_still_to_come(self) -> None:
        state = self.state
        for run in state.runs.values():
            if run.parked and run.state == "RUNNING" and not state.homeless.has(run.code_version, run.id):
                assert all(state.commands[run.id, ordinal].outcome is None for ordinal in run.parked)

    @invariant()
    def what_is_away_only_waits_and_leaves_nothing_here(self) -> None:
        state = self.state
        for run_id in state.away:
            run = self.rows["runs"][run_id]
            assert run.state == "RUNNING"
            assert run.parked
            open_rows = [row for row in self.rows["commands"].values() if row.run_id == run_id and row.outcome is None]
            assert all(isinstance(row.command.call, calls.SleepCall | calls.WaitCall) for row in open_rows)
            for row in open_rows:
                timed = f"{run_id}/{row.ordinal}" in state.timers
                assert timed or state.waits.has(row.command.call.event_type, (run_id, row.ordinal))
        here = {run.id for run in state.runs.values()} | {key[0] for key in state.commands}
        here |= {step.run_id for step in state.steps.values()} | {key[0] for key in state.pins}
        assert not here & set(state.away)

    @invariant()
    def outcomes_are_numbered_without_gaps(self) -> None:
        numbers: dict[str, list[int]] = defaultdict(list)
        for row in self.rows["commands"].values():
            if row.outcome is not None:
                numbers[row.run_id].append(row.answered)
        assert all(sorted(given) == list(range(1, len(given) + 1)) for given in numbers.values())

    @invariant()
    def an_event_answers_one_wait_of_a_run(self) -> None:
        taken = Counter(
            (row.run_id, *event)
            for row in self.rows["commands"].values()
            if row.outcome is not None and (event := taken_by(row)) is not None
        )
        assert all(count == 1 for count in taken.values())

    @invariant()
    def a_run_inside_a_run_that_ended_has_answered_it(self) -> None:
        for run in self.rows["runs"].values():
            parent = self.rows["runs"].get(run.parent_id)
            if parent is not None and run.state.ended and parent.state == "RUNNING":
                assert self.rows["commands"][parent.id, run.parent_ordinal].outcome is not None

    @invariant()
    def a_run_needs_attention_exactly_while_a_step_of_it_does(self) -> None:
        doubtful = {self.state.doubtful[fence]: fence for fence in self.state.doubtful}
        for step in self.rows["steps"].values():
            assert (step.state is StepState.NEEDS_ATTENTION) == (step.id in doubtful) == (step.attention is not None)
        runs = {step_id.split("/")[0] for step_id in doubtful}
        stand = {run.id for run in self.rows["runs"].values() if run.state == "NEEDS_ATTENTION"}
        assert runs <= stand
        assert stand - runs <= self.set_aside

    @invariant()
    def hosts_of_runs_that_died_together_have_one_run_each(self) -> None:
        for host in self.state.hosts.values():
            assert host.alone is None or self.state.runs_on.of(host.id) == [host.alone]

    @invariant()
    def somebody_will_wake_the_timers(self) -> None:
        if len(self.state.timers):
            assert min(self.state.wakes) <= min(timer.due_us for timer in self.state.timers.values())
        assert len(self.state.wakes) <= len(self.rows["runs"]) * 6 + 6

    def teardown(self) -> None:
        """Once everything is cancelled and reported, nothing is left in memory."""
        if not hasattr(self, "machine"):
            return
        for run in list(self.rows["runs"].values()):
            if not run.state.ended:
                self.order_cancel(run.id)
        assert not self.state.away
        for fence, worker in self.at_work():
            self.tell(self.a_report(fence, worker, "cancelled"))
        self.a_run_ends_once()
        state = self.state
        ledgers: list[Any] = [state.runs, state.commands, state.steps, state.attempts, state.leases, state.timers]
        assert not any(
            map(len, [*ledgers, state.pins, state.run_of_key, state.answered_of, state.suspects, state.doubtful])
        )
        groups: list[Any] = [state.commands_of, state.steps_of, state.live_of, state.fed_by, state.held_on]
        groups += [state.waiting_of, state.children_of, state.waits, state.taken_of, state.watched_by]
        assert not any(g.groups() for g in [*groups, state.runs_on, state.homeless, state.pins_of, state.timers_of])


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
