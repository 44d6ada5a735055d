"""Durable events a second through T1, beside raw inserts of the same rows in the same groups by the same driver.

Events arrive as the bytes that Kafka would deliver, 500 at a time, and go the Conductor's way through its own ingest
and loop: parsed, validated, matched, decided, committed. A matched one makes a run and its log entry, an unmatched one
the inbox row alone. The rows that were written are then written once more to a fresh store, by nothing but the driver.
Goal: at least 0.5 of that. PostgreSQL is measured where Debian's package is installed.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from typing import Any

import msgspec
from lab import verdict
from raw import Commit, Recorded, written
from speed import loop_s
from stores import ABSENT, stores

from headwater.actors.courtesy import SWITCH_S, collect_rarely
from headwater.actors.loop import Loop
from headwater.actors.owner import arrived
from headwater.core.conductor.machine import Conductor
from headwater.core.conductor.state import State
from headwater.core.conductor.triggers.following import learn_flow
from headwater.events.bus import Record
from headwater.events.ingest import BATCH_MAX, Ingest, Parsed
from headwater.store.engine import create, open_engine
from headwater.store.statements import Statements
from headwater.store.writer import Writer
from headwater.wire import topics
from headwater.wire.envelope import Event, encode_structured
from headwater.wire.manifest import FlowSpec, TriggerSpec

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
ROUNDS = 3
EVENTS = topics.EVENTS.name
Bytes = tuple[bytes, list[tuple[str, bytes]]]


def main() -> None:
    sys.setswitchinterval(SWITCH_S)  # as in the Conductor's process
    collect_rarely()
    print(f"loop of 10 M additions {loop_s():.2f} s; {COUNT} events in groups of {BATCH_MAX}, median of {ROUNDS}")
    print(f"{'':24}{'events/s':>10}{'raw rows':>10}{'ratio':>8}")
    ratios = {}
    with stores() as fresh:
        for name, make in fresh.items():
            for kind, subject in (("matched", "landed"), ("unmatched", "elsewhere")):
                ours, raw = measured(make, subject)
                ratios[f"{name}_{kind}"] = round(ours / raw, 3)
                print(f"{name + ', ' + kind:24}{ours:10.0f}{raw:10.0f}{ours / raw:8.2f}")
    worst = min(ratios.values())
    verdict("ingest", value=worst, unit="of raw", floor=1.0, goal=0.5, holds=worst >= 0.5, ratios=ratios)
    if ABSENT:
        print(ABSENT)


def measured(make: Any, subject: str) -> tuple[float, float]:
    """Events a second: ours, and the same rows raw."""
    arriving = [encode_structured(event(number, subject)) for number in range(COUNT)]
    ours, raw = [], []
    for _ in range(ROUNDS):
        took_s, commits = asyncio.run(taken_in(make(), arriving))
        ours.append(COUNT / took_s)
        raw.append(COUNT / written(make(), commits))
    return statistics.median(ours), statistics.median(raw)


def event(number: int, subject: str) -> Event:
    return Event(id=f"e{number}", source="bench", type=subject, data={"day": f"day-{number % 365}"})


async def taken_in(url: str, arriving: list[Bytes]) -> tuple[float, list[Commit]]:
    create(url, store_epoch="bench")
    engine = open_engine(url)
    journal = Recorded(Writer(engine, "conductor"))
    await journal.take_epoch()
    loop = Loop(Conductor(a_state()), journal, carry_out=lambda _: None, published=lambda _: None)
    owner = Taking(loop, len(arriving))
    ingest = Ingest(Arriving(arriving), owner)
    running = [asyncio.create_task(loop.run())]
    began = time.perf_counter()
    running.append(asyncio.create_task(ingest.run()))
    await owner.done.wait()
    took_s = time.perf_counter() - began
    for task in running:
        task.cancel()
    journal.close()
    commits = journal.rows(Statements(engine.dialect))
    engine.dispose()
    return took_s, commits


def a_state() -> State:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    trigger = TriggerSpec(name="event:landed", kind="event", subject="landed")
    flow = FlowSpec(name="train", project="eta", function="flow:train", parameters=schema, triggers=(trigger,))
    state = State(secret=b"s")
    learn_flow(state, {"spec": msgspec.to_builtins(flow), "bundle": "b" * 64}, "v1")
    state.book.settle()
    return state


class Arriving:
    """The records of a topic as a source hands them over."""

    def __init__(self, arriving: list[Bytes]) -> None:
        numbered = enumerate(arriving)
        self._records = (
            Record(EVENTS, 0, at, at or None, None, value, tuple(headers), 0) for at, (value, headers) in numbered
        )

    async def next_batch(self, max_records: int, wait_s: float) -> list[Any]:
        batch = list(itertools.islice(self._records, max_records))
        if not batch:
            await asyncio.Event().wait()
        return batch

    def topic_ids(self) -> dict[str, str]:
        return {EVENTS: "t"}


class Taking:
    """Takes them in as the Conductor does; `done` once there are so many."""

    def __init__(self, loop: Loop, count: int) -> None:
        self._loop, self._left, self.done = loop, count, asyncio.Event()

    async def take(self, records: list[Parsed]) -> None:
        answers = await self._loop.ask_all([arrived(parsed, {}, b"s") for parsed in records])
        assert set(answers) == {"taken in"}
        self._left -= len(answers)
        if not self._left:
            self.done.set()

    def room(self) -> int:
        return self._loop.room


if __name__ == "__main__":
    main()
