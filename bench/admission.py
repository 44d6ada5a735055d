"""Workloads admitted per second, each grant durably written: 1,000 queues, 50,000 workloads.

Taken from Kueue's large generator (test/performance/scheduler): cohorts of queues of 20 CPUs each that may borrow
100; per queue 35 workloads of 1 CPU with priority 50, 10 of 5 CPUs with 100, 5 of 20 CPUs with 200. Here 100
cohorts of ten queues. Not taken: that workloads come one after the other and run for 0.2 to 1 s (all of them wait at
first, and one ends as soon as others were admitted), and that the important ones end others.

Two figures. The engine alone: its decisions in memory, one event at a time. And admitted durably, as a platform
does it: what the engine proposes goes to another process, through the Conductor's own machine, loop, guards and
writer into SQLite (T2: the attempt, the step, the run, a log entry), and only what is committed is leased. GROUP
workloads end at once, as the Conductor tells the Scheduler of what it has committed together. The ends themselves
are not written, nobody follows the log, and a pipe stands for the line between the two actors.
Beside it the same rows, in the same groups, by nothing but the driver. Kueue's published 42/s has etcd below it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
from cluster import Play
from lab import verdict
from msgspec.structs import replace
from raw import Commit, Recorded, written
from speed import loop_s

from headwater.actors.courtesy import SWITCH_S, collect_rarely
from headwater.actors.loop import Loop
from headwater.actors.sharing import quota_words as words
from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor, Rows
from headwater.core.conductor.state import State
from headwater.core.inventory import QuotaTree
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.quota import messages as q
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.statements import Statements
from headwater.store.writer import Writer
from headwater.wire import calls
from headwater.wire.calls import Payload
from headwater.wire.terms import Demand

GOAL_PER_S, LOOP_S, KUEUE_PER_S = 2000, 0.6, 42
CLASSES = ((35, 1, 50), (10, 5, 100), (5, 20, 200))
QUEUES, GROUP, UNANSWERED, EPOCH = 10, 100, 4, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cohorts", type=int, default=100)
    chosen = parser.parse_args()
    floor = loop_s()
    collect_rarely()  # as in the Scheduler's process
    waiting = list(workloads(chosen.cohorts))
    alone = engine_alone(chosen.cohorts, waiting)
    took_s, engine_s, conductor_s, raw_s = durably(chosen.cohorts, waiting)
    value, raw = len(waiting) / took_s, len(waiting) / raw_s
    goal = GOAL_PER_S * LOOP_S / min(floor, loop_s())
    print(f"{len(waiting):,} admitted: engine alone {alone:,.0f}/s; durably {value:,.0f}/s in {took_s:.1f} s, of CPU")
    print(f"{engine_s:.1f} s in the engine's process, {conductor_s:.1f} s in the Conductor's;")
    print(f"the same rows raw {raw:,.0f}/s, ratio {value / raw:.2f}; Kueue publishes {KUEUE_PER_S}/s")
    verdict(
        "admission", value=value, unit="workloads/s", floor=KUEUE_PER_S, goal=round(goal), holds=value >= goal,
        engine_alone=round(alone), raw_rows=round(raw), of_raw=round(value / raw, 2), loop_s=round(floor, 3),
    )  # fmt: skip


def workloads(cohorts: int) -> Iterator[q.StepWaiting]:
    number = 0
    for count, cpus, priority in CLASSES:
        for n in range(count * cohorts * QUEUES):
            queue = n % (cohorts * QUEUES)
            name = f"q{queue // QUEUES}-{queue % QUEUES}"
            yield q.StepWaiting(f"{name}/{number}", name, name, "w", q.Demand(0, None, cpus * 1000), number, priority)
            number += 1


def written_tree(cohorts: int) -> dict[str, object]:
    quota = {"cpu": {"nominal": 20, "borrow_limit": 100}}
    names = {f"c{c}": {"projects": {f"q{c}-{n}": quota for n in range(QUEUES)}} for c in range(cohorts)}
    return {"cohort": names, "policy": {"evictions_per_hour": 0}}


def a_scheduler(cohorts: int) -> Scheduler:
    nodes = [q.NodeSpec(f"n{n}", 200_000, 1 << 40) for n in range(cohorts)]
    return Scheduler.load(parse_tree(written_tree(cohorts)), 1, nodes=nodes)


def engine_alone(cohorts: int, waiting: list[q.StepWaiting]) -> float:
    """Workloads a second."""
    play, admitted = Play(a_scheduler(cohorts)), 0
    began = time.perf_counter()
    for step in waiting:
        play.feed(step)
    admitted += play.accept()
    while play.running:
        fence, _ = play.running.popleft()
        play.feed(q.AttemptReleased(fence))
        admitted += play.accept()
    assert admitted == len(waiting), f"{admitted} of {len(waiting)} went"
    return admitted / (time.perf_counter() - began)


class Conducting:
    """A Conductor's machine with its loop and writer on a new store. Lives in a process of its own."""

    def __init__(self, store: Path, waiting: list[q.StepWaiting]) -> None:
        self._waiting = waiting
        create(sqlite_url(store), store_epoch="bench")
        self._database = open_engine(sqlite_url(store))
        self._seed()
        self._journal = Recorded(Writer(self._database, "conductor"))

    async def run(self, line: Connection) -> tuple[float, list[Commit]]:
        """Answers proposals until there are no more; seconds of CPU, and what was committed."""
        await self._journal.take_epoch()
        conductor = Conductor(State(secret=b"s"))
        conductor.load(Rows(runs=self._runs(), steps=self._steps()))
        conductor.settle()
        loop = Loop(conductor, self._journal, carry_out=lambda _: None, published=lambda _: None)
        running, answering = asyncio.create_task(loop.run()), set[asyncio.Task[None]]()
        collect_rarely()
        line.send_bytes(b"ready")
        began = time.process_time()
        while packed := await asyncio.to_thread(line.recv_bytes):
            answering.add(asyncio.create_task(_answer(loop, line, packed)))
        await asyncio.gather(*answering)
        cpu_s = time.process_time() - began
        running.cancel()
        commits = self._journal.rows(Statements(self._database.dialect))
        self._journal.close()
        self._database.dispose()
        return cpu_s, commits

    def _seed(self) -> None:
        """The rows that grants are judged by."""
        tree = QuotaTree(version=1, tree={}, principal="bench", applied_us=1)
        scheduler, conductor = Writer(self._database, "scheduler"), Writer(self._database, "conductor")
        assert scheduler.take_epoch() == EPOCH
        scheduler.commit({"quota_trees": {1: tree}})
        conductor.take_epoch()
        conductor.commit({"runs": {run.id: run for run in self._runs()}})
        conductor.commit({"steps": {step.id: step for step in self._steps()}})
        for writer in (scheduler, conductor):
            writer.close()

    def _runs(self) -> list[Run]:
        names = sorted({step.run_id for step in self._waiting})
        return [
            Run(
                id=name, project=name, flow="w", code_version="v", state=RunState.RUNNING, idempotency_key=name,
                principal="bench", root_id=name, created_us=1,
            )
            for name in names
        ]  # fmt: skip

    def _steps(self) -> list[Step]:
        return [
            Step(
                id=step.step_id, run_id=step.run_id, ordinal=int(step.step_id.rpartition("/")[2]),
                project=step.project, name=step.name, function="flow:w", code_version="v", state=StepState.WAITING,
                demand=Demand(cpus_milli=step.demand.cpus_milli), priority=step.priority,
                arguments=Payload(inline=b"x" * 100), created_us=1, waiting_us=step.since_us,
            )
            for step in self._waiting
        ]  # fmt: skip


async def _answer(loop: Loop, line: Connection, packed: bytes) -> None:
    grants = msgspec.msgpack.decode(packed, type=tuple[calls.Grant, ...])
    verdicts: list[calls.Verdict] = await loop.ask(m.Proposed(grants))
    line.send_bytes(msgspec.msgpack.encode(verdicts))


def conduct(store: Path, cohorts: int, line: Connection) -> None:
    """The Conductor's process: proposals in, verdicts out; at the end what the same rows take raw."""
    sys.setswitchinterval(SWITCH_S)
    cpu_s, commits = asyncio.run(Conducting(store, list(workloads(cohorts))).run(line))
    line.send((cpu_s, written(sqlite_url(store.with_name("raw.db")), commits)))


class Scheduling:
    """A Scheduler's engine that proposes to a Conductor, and decides on while it waits for the answers."""

    def __init__(self, cohorts: int, line: Connection) -> None:
        self._engine, self._line = a_scheduler(cohorts), line
        self._demands: dict[str, q.Demand] = {}
        self._proposed: deque[list[q.Grant]] = deque()
        self._running: deque[int] = deque()
        self.admitted = 0

    def admit(self, waiting: list[q.StepWaiting]) -> None:
        for at in range(0, len(waiting), GROUP):
            group = waiting[at : at + GROUP]
            self._demands.update({step.step_id: step.demand for step in group})
            self._decide(group)
        while self._running or self._proposed:
            ended = [self._running.popleft() for _ in range(min(GROUP, len(self._running)))]
            self._decide([q.AttemptReleased(fence) for fence in ended])
            while self._proposed and (len(self._proposed) > UNANSWERED or not self._running):
                self._answered()

    def _decide(self, events: Sequence[q.Event]) -> None:
        self._engine.mark()
        grants = [each for each in self._engine.decide_all(events) if isinstance(each, q.Grant)]
        if grants:
            named = [replace(words.proposal_of(grant), scheduler_epoch=EPOCH) for grant in grants]
            self._line.send_bytes(msgspec.msgpack.encode(named))
            self._proposed.append(grants)
        while self._line.poll():
            self._answered()

    def _answered(self) -> None:
        verdicts = msgspec.msgpack.decode(self._line.recv_bytes(), type=list[calls.Verdict])
        grants = self._proposed.popleft()
        assert not any(verdict.reason for verdict in verdicts), verdicts[:3]
        self._engine.mark()
        self._engine.decide_all(
            [
                q.AttemptLeased(grant.step_id, verdict.fence, grant.node, grant.devices, self._demands[grant.step_id])
                for grant, verdict in zip(grants, verdicts, strict=True)
            ]
        )
        self._running.extend(verdict.fence for verdict in verdicts)
        self.admitted += len(verdicts)


def durably(cohorts: int, waiting: list[q.StepWaiting]) -> tuple[float, float, float, float]:
    """Seconds in all, those of CPU of the engine's process and of the Conductor's, and what the rows take raw."""
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        spawning = multiprocessing.get_context("spawn")
        line, theirs = spawning.Pipe()
        conductor = spawning.Process(target=conduct, args=(Path(folder) / "store.db", cohorts, theirs))
        conductor.start()
        assert line.recv_bytes() == b"ready"
        scheduling = Scheduling(cohorts, line)
        began, cpu = time.perf_counter(), time.process_time()
        scheduling.admit(waiting)
        took = time.perf_counter() - began, time.process_time() - cpu
        assert scheduling.admitted == len(waiting), f"{scheduling.admitted} of {len(waiting)} went"
        line.send_bytes(b"")
        theirs_s, raw_s = line.recv()
        conductor.join()
    return *took, theirs_s, raw_s


if __name__ == "__main__":
    main()
