"""A start of the Conductor over 100,000 runs that only wait, beside reading their rows.

Each run has finished a step and sleeps. The start is the one of the actor without its process: rows to machine, and the
first decision. What it holds afterwards and what it held at most are told by the process, against an empty store.
Goal: at most three times the reading, both in seconds of CPU, and no more than 2 kB for each run at any time.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from lab import verdict
from speed import loop_s

from headwater.actors.loading import load_state
from headwater.core.conductor import messages as m
from headwater.core.conductor.machine import Conductor
from headwater.core.conductor.state import State
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.runs import CommandRow, Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.core.records.triggers import Timer
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.rows import codecs
from headwater.store.schema import COMMANDS, RUNS, STEPS, TIMERS
from headwater.store.session import Session
from headwater.store.statements import Statements
from headwater.wire.calls import Command, Outcome, Payload, SleepCall, StepCall
from headwater.wire.ids import RANDOM_BYTES, uuid7
from headwater.wire.terms import Demand

RUNS_COUNT = int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdecimal() else 100_000
AT_ONCE = 5_000
T0 = 1_760_000_000_000_000
PER_RUN_MAX_KB = 2.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        url = sqlite_url(Path(folder) / "store.db")
        create(url, store_epoch="bench")
        print(f"loop of 10 M additions {loop_s():.2f} s; {RUNS_COUNT:,} parked runs")
        empty = measured(url)
        fill(url)
        full = measured(url)
    held_kb, most_kb = ((full[name] - empty[name]) / RUNS_COUNT for name in ("held_kb", "most_kb"))
    print(f"{'reading the rows':24}{full['read_s']:9.2f} s")
    print(f"{'start':24}{full['start_s']:9.2f} s{full['start_s'] / full['read_s']:9.2f}x")
    print(f"{'held for each run':24}{held_kb:9.2f} kB\n{'held at most':24}{most_kb:9.2f} kB")
    print(f"{'in memory as runs':24}{int(full['runs']):9,}\n{'known to wait':24}{int(full['away']):9,}")
    holds = full["start_s"] <= 3 * full["read_s"] and most_kb <= PER_RUN_MAX_KB
    verdict("parked", value=full["start_s"], unit="s", floor=full["read_s"], goal=3, holds=holds)


def measured(url: str) -> dict[str, float]:
    """Of a process of its own: what a start takes and leaves."""
    done = subprocess.run([sys.executable, __file__, "--start", url], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def start(url: str) -> None:
    reader = Reader(open_engine(url, read_only=True))
    machine = Conductor(State(secret=b"s"))
    began = time.process_time()
    with reader.picture() as picture:
        load_state(machine, picture)
    machine.decide(m.Started(), T0)
    machine.settle()
    start_s = time.process_time() - began
    held_kb, most_kb = _now_kb(), float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    began = time.process_time()
    read(reader)
    read_s = time.process_time() - began
    counts = {"runs": len(machine.state.runs), "away": len(machine.state.away)}
    print(json.dumps({"start_s": start_s, "read_s": read_s, "held_kb": held_kb, "most_kb": most_kb, **counts}))


def _now_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def read(reader: Reader) -> None:
    """The same rows as structs, none of them kept."""
    known = codecs()
    for table in (RUNS, COMMANDS, STEPS, TIMERS):
        codec = known[table.name]
        with reader._engine.connect() as connection:
            for row in connection.execution_options(yield_per=500).execute(sa.select(table)):
                codec.struct_of(row)


def fill(url: str) -> None:
    engine = open_engine(url)
    session, statements, known = Session(engine), Statements(engine.dialect), codecs()
    for first in range(0, RUNS_COUNT, AT_ONCE):
        rows: dict[str, list[Any]] = {}
        for number in range(first, min(first + AT_ONCE, RUNS_COUNT)):
            for table, row in a_parked_run(number):
                rows.setdefault(table, []).append(known[table].values(row))
        with session.transaction() as work:
            for table, values in rows.items():
                work.many(statements.upsert(table), values)
    session.close()
    engine.dispose()


def a_parked_run(number: int) -> Iterator[tuple[str, msgspec.Struct]]:
    at = T0 + number
    run_id = uuid7(at, number.to_bytes(RANDOM_BYTES))
    demand, empty = Demand(), Payload(inline=b"()", size_bytes=2)
    common = {"created_us": at, "project": "eta", "code_version": "c" * 64}
    yield "runs", Run(
        id=run_id, flow="wait", state=RunState.RUNNING, seq=5, trigger="eta/wait/event:x", event_source="/a",
        event_id=f"e{number}", idempotency_key=f"{number:064d}", principal="topic:x", parameters={"n": number},
        root_id=run_id, host_fence=2, parked=(1,), started_us=at, **common,
    )  # fmt: skip
    step = StepCall(function="flow:fit", arguments=empty, demand=demand)
    asked = [Command(ordinal=0, name="fit", key="fit#1", call=step, digest="d" * 64)]
    asked.append(Command(ordinal=1, name="sleep", key="sleep#1", call=SleepCall(duration_us=10**12), digest="e" * 64))
    done = Outcome(payload=Payload(codec="json", inline=b"42", size_bytes=2))
    for command, outcome in zip(asked, (done, None), strict=True):
        yield "commands", CommandRow(
            run_id=run_id, ordinal=command.ordinal, kind=command.kind, name=command.name, key=command.key,
            digest=command.digest, command=command, outcome=outcome, answered=1 if outcome else 0, issued_us=at,
        )  # fmt: skip
    yield "steps", Step(
        id=f"{run_id}/0", run_id=run_id, ordinal=0, name="fit", function="flow:fit", state=StepState.SUCCEEDED,
        demand=demand, arguments=empty, attempts=1, ended_us=at, **common,
    )  # fmt: skip
    yield "attempts", Attempt(
        fence=number + 1, step_id=f"{run_id}/0", run_id=run_id, number=1, state=AttemptState.SUCCEEDED, node="local",
        demand=demand, leased_us=at,
    )  # fmt: skip
    yield "timers", Timer(id=f"{run_id}/1", kind="sleep", due_us=at + 10**12, run_id=run_id, ordinal=1)


if __name__ == "__main__":
    start(sys.argv[2]) if sys.argv[1:2] == ["--start"] else main()
