"""The same sequences of events with runs that are resumed, results that are reused and steps that keep where they are.

Beside them stands a simple model: what was recorded stays as it was, what is reused was recorded before for the very
same question, a timer is not early, the first is the first, and a checkpoint is the last one that was accepted.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from core.test_conductor_properties import PICK, AnySequence, picked, runs_live
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from scenes.conductor import a_step

from headwater.core.conductor import messages as m
from headwater.core.conductor.runs.nesting import key_of_child
from headwater.core.inbox import Ordered
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.runs import CommandRow, Run
from headwater.core.records.steps import StepState
from headwater.wire import calls
from headwater.wire.entries.events import EventPublished
from headwater.wire.entries.models import ModelRequested
from headwater.wire.terms import Failure

OVER = ("FAILED", "CANCELLED")


def said(outcome: calls.Outcome) -> Any:
    """What an outcome that the platform has written holds."""
    return msgspec.json.decode(outcome.payload.inline or b"") if outcome.payload else None


class DurableSequence(AnySequence):
    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[tuple[str, int], CommandRow] = {}
        self.kept: dict[str, calls.Payload] = {}
        self.accepted: set[str] = set()

    # Events.

    def line_of(self, run: Run) -> list[Run]:
        """The runs that it resumes, the nearest first."""
        line: list[Run] = []
        while run.resumed_from in self.rows["runs"]:
            run = self.rows["runs"][run.resumed_from]
            line.append(run)
        return line

    def asked(self, run: Run, *commands: calls.Command) -> m.Issued:
        """With what the rows know, as the shell looks it up."""
        keys = {command.key for command in commands}
        rows = [
            row for before in self.line_of(run) for row in self.rows["commands"].values()
            if row.run_id == before.id and row.key in keys
        ]  # fmt: skip
        called = {key_of_child(row.run_id, row.ordinal): (row.run_id, row.ordinal) for row in rows if row.kind == "run"}
        every = self.rows["runs"].values()
        children = {called[one.idempotency_key]: one.id for one in every if one.idempotency_key in called}
        return m.Issued(run.id, run.host_fence, commands, (), 0, tuple(rows), dict(self.rows["step_cache"]), children)

    @precondition(runs_live)
    @rule(pick=PICK, need=PICK, code=st.sampled_from("ab"), given=st.sampled_from("xy"), cache=st.booleans())
    def issue_what_can_be_compared(self, pick: int, need: int, code: str, given: str, cache: bool) -> None:
        run = picked(self.runs(), pick)
        if run is None:
            return
        ordinal = len(self.state.commands_of.of(run.id))
        needs = (need % ordinal,) if ordinal and need % 3 == 0 else ()
        command = a_step(ordinal, *needs, code_digest=code, cache=cache)
        if need % 7 == 0:
            call = calls.RunCall(project="eta", flow="train", parameters={"day": "monday"}, code_digest=code)
            command = calls.Command(ordinal=ordinal, name="train", key=f"train#{ordinal}", call=call)
        elif need % 7 == 1:
            command = calls.Command(ordinal=ordinal, name="now", key=f"now#{ordinal}", call=calls.NowCall())
        elif need % 7 == 2:
            said = calls.PublishCall(event_type="done")
            command = calls.Command(ordinal=ordinal, name="publish", key=f"publish#{ordinal}", call=said)
        self.tell(self.asked(run, msgspec.structs.replace(command, digest=given)))

    @precondition(lambda self: any(run.state in OVER for run in self.rows["runs"].values()))
    @rule(pick=PICK, kind=st.sampled_from(["run.resume", "run.retry"]), step=st.sampled_from(["", "fit", "fit#1"]))
    def go_on_from_one_that_is_over(self, pick: int, kind: str, step: str) -> None:
        over = sorted((run for run in self.rows["runs"].values() if run.state in OVER), key=lambda run: run.id)
        self.go_on(picked(over, pick), kind, step)

    def go_on(self, run: Run, kind: str, step: str) -> Run:
        name = self.name("c")
        order = calls.Order(
            source="cli", id=name, kind=kind, principal="me", project="eta",
            data={"run_id": run.id, "step": step}, sha256=name,
        )  # fmt: skip
        turn = self.tell(Ordered(order=order, ended_as=run.state, ended=run, steps=("fit", "fit#1")))
        again: Run = self.rows["runs"][turn.answer["done"]["run_id"]]
        assert again.resumed_from == run.id
        return again

    @precondition(lambda self: len(self.state.attempts) > 0)
    @rule(pick=PICK, foreign=PICK)
    def checkpoint(self, pick: int, foreign: int) -> None:
        attempt = picked(sorted(self.state.attempts.values(), key=lambda one: one.fence), pick)
        self.keep(attempt, (attempt.worker if foreign % 5 else "") or "nobody")

    def keep(self, attempt: Attempt, worker: str) -> None:
        state = calls.Payload(inline=str(self.now_us).encode())
        if self.tell(m.Checkpointed(attempt.fence, worker, state)).answer == "":
            self.kept[attempt.step_id] = state

    # Several events that come together seldom by themselves.

    @precondition(runs_live)
    @rule(pick=PICK, code=st.sampled_from("aab"), cache=st.booleans())
    def do_a_step(self, pick: int, code: str, cache: bool) -> None:
        run = picked(self.runs(), pick)
        if run is not None:
            self.do(run, msgspec.structs.replace(self.next_step(run, code_digest=code, cache=cache), digest="x"))

    @precondition(runs_live)
    @rule(pick=PICK)
    def lose_what_may_run_once(self, pick: int) -> None:
        run = picked(self.runs(), pick)
        attempt = self.begin_a_step(run, self.next_step(run, effect="once")) if run is not None else None
        if attempt is not None and attempt.worker is not None:
            self.tell(m.Claimed(attempt.fence, attempt.worker, attempt.secret))
            del self.workers[attempt.worker]
            self.tell(m.WorkerLost(attempt.worker, "killed"))

    @precondition(runs_live)
    @rule(pick=PICK)
    def get_half_way(self, pick: int) -> None:
        run = picked(self.runs(), pick)
        attempt = self.begin_a_step(run, self.next_step(run)) if run is not None else None
        if attempt is not None and attempt.worker is not None:
            self.keep(attempt, attempt.worker)
            del self.workers[attempt.worker]
            self.tell(m.WorkerLost(attempt.worker, "killed"))

    @precondition(runs_live)
    @rule(pick=PICK)
    def call_a_flow(self, pick: int) -> None:
        run = picked([run for run in self.runs() if run.state == "RUNNING" and not run.depth], pick)
        if run is not None:
            ordinal = len(self.state.commands_of.of(run.id))
            call = calls.RunCall(project="eta", flow="train", parameters={"day": "monday"}, code_digest="a")
            command = calls.Command(ordinal=ordinal, name="train", key=f"train#{ordinal}", call=call, digest="x")
            self.tell(self.asked(run, command))
            self.fail(self.state.runs[run.id], "", ordinal + 1)

    @precondition(runs_live)
    @rule(pick=PICK, step=st.sampled_from(["", "", "fit", "fit#1"]), upto=PICK)
    def fail_and_go_on(self, pick: int, step: str, upto: int) -> None:
        run = picked([run for run in self.runs() if run.state == "RUNNING" and run.parent_id is None], pick)
        if run is not None:
            self.fail(run, step, upto % (self.state.commands_of.count(run.id) + 1))

    def fail(self, run: Run, step: str, upto: int) -> None:
        """The run that resumes it asks for what it did, as far as it comes."""
        rows = [self.state.commands[run.id, ordinal] for ordinal in self.state.commands_of.of(run.id)]
        outcome = calls.Outcome(failure=Failure(kind="exception", message="boom"))
        self.tell(m.RunFunctionEnded(calls.RunEnd(run_id=run.id, fence=run.host_fence, outcome=outcome)))
        again = self.go_on(self.rows["runs"][run.id], "run.retry" if step else "run.resume", step)
        if again.host is not None:
            self.tell(self.asked(again, *(row.command for row in rows[:upto])))

    def next_step(self, run: Run, **options: Any) -> calls.Command:
        return a_step(len(self.state.commands_of.of(run.id)), **options)

    def begin_a_step(self, run: Run, command: calls.Command) -> Attempt | None:
        """The attempt at the new step of the run, at a worker, where it has come so far."""
        self.tell(self.asked(run, command))
        step = self.state.steps.get(f"{run.id}/{command.ordinal}")
        if step is None or step.state is not StepState.WAITING:
            return None
        worker = self.name("w")
        self.workers[worker] = "n1"
        self.tell(m.WorkerJoined(worker, "n1"))
        grant = calls.Grant(step_id=step.id, node="n1", devices=(), tree_version=1, scheduler_epoch=1)
        (verdict,) = self.tell(m.Proposed((grant,))).answer
        return self.state.attempts.get(verdict.fence) if verdict.fence is not None else None

    def do(self, run: Run, command: calls.Command) -> None:
        attempt = self.begin_a_step(run, command)
        if attempt is not None and attempt.worker is not None:
            self.tell(self.a_report(attempt.fence, attempt.worker, None))

    def order(self, kind: str, **data: Any) -> None:
        before = {step.id for step in self.rows["steps"].values() if step.state is StepState.NEEDS_ATTENTION}
        super().order(kind, **data)
        if kind == "run.accept":
            after = self.rows["steps"]
            self.accepted |= {step for step in before if after[step].state is StepState.SUCCEEDED}

    # The model.

    @invariant()
    def a_step_succeeds_at_most_once(self) -> None:
        attempts = self.rows["attempts"].values()
        won = Counter(attempt.step_id for attempt in attempts if attempt.state is AttemptState.SUCCEEDED)
        assert all(count == 1 for count in won.values())
        done = {step.id for step in self.rows["steps"].values() if step.state is StepState.SUCCEEDED}
        assert set(won) <= done
        assert not set(won) & self.accepted
        assert all(self.is_known(step_id) for step_id in done - set(won) - self.accepted)

    def is_known(self, step_id: str) -> bool:
        """Whether a result without an attempt is that of an earlier run for the same question, or a cached one."""
        run_id, _, ordinal = step_id.partition("/")
        row = self.rows["commands"][run_id, int(ordinal)]
        before = {run.id for run in self.line_of(self.rows["runs"][run_id])}
        alike = (
            one for one in self.rows["commands"].values()
            if one.run_id in before and one.key == row.key and one.digest == row.digest is not None
        )  # fmt: skip
        code = row.command.call.code_digest
        known = [one.outcome for one in alike if one.command.call.code_digest == code]
        cached = [calls.Outcome(payload=entry.payload) for entry in self.rows["step_cache"].values()]
        assert row.outcome is not None
        assert row.outcome.failure is None
        return row.outcome in known or row.outcome in cached

    @invariant()
    def what_was_recorded_stays_as_it_was(self) -> None:
        for key, row in self.rows["commands"].items():
            known = self.recorded.get(key)
            if known is not None:
                assert known.command == row.command
                assert known.outcome in (None, row.outcome)
            self.recorded[key] = row

    @invariant()
    def what_was_asked_to_be_said_was_said_once(self) -> None:
        said = Counter(
            (word.subject, word.body.event_id if isinstance(word.body, EventPublished) else word.body.ordinal)
            for word in self.log
            if isinstance(word.body, EventPublished | ModelRequested)
        )
        assert all(count == 1 for count in said.values())
        for row in self.rows["commands"].values():
            if row.kind == "publish" and self.rows["runs"][row.run_id].resumed_from is None:
                assert (row.run_id, f"{row.run_id}/{row.ordinal}") in said

    @invariant()
    def nothing_wakes_early(self) -> None:
        for row in self.rows["commands"].values():
            call, outcome = row.command.call, row.outcome
            if outcome is None or row.ended_us is None:
                continue
            waited_us = row.ended_us - row.issued_us
            if isinstance(call, calls.SleepCall) or (isinstance(call, calls.DeadlineCall) and said(outcome) is True):
                assert waited_us >= call.duration_us
            elif isinstance(call, calls.WaitCall) and outcome.failure and outcome.failure.kind == "timeout":
                assert waited_us >= (call.timeout_us or 0)

    @invariant()
    def the_first_is_the_first(self) -> None:
        for row in self.rows["commands"].values():
            if isinstance(row.command.call, calls.FirstCall) and row.outcome and row.outcome.payload:
                chosen = said(row.outcome)
                rows = [self.rows["commands"][row.run_id, ordinal] for ordinal in row.command.call.of]
                ended = {one.answered: one.ordinal for one in rows if one.outcome is not None}
                assert ended[min(ended)] == chosen

    @invariant()
    def a_checkpoint_is_the_last_that_was_accepted(self) -> None:
        for step in self.rows["steps"].values():
            if not step.state.ended:
                assert step.checkpoint == self.kept.get(step.id)

    @invariant()
    def a_resumed_run_names_the_one_before(self) -> None:
        for run in self.rows["runs"].values():
            if run.resumed_from is not None:
                before = self.rows["runs"][run.resumed_from]
                assert before.state.ended or before.state == "CANCELLING"
                assert (before.flow, before.id) == (run.flow, run.resumed_from)


TestDurableSequence = DurableSequence.TestCase
TestDurableSequence.settings = settings(max_examples=15, stateful_step_count=50, deadline=None)
