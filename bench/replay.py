"""A run of 10,000 recorded commands back to its end, beside reading its rows from the store.

The flow calls 10,000 steps one after the other and asks for each result, as after an eviction at its last wait: its
record is read, and the function is executed again from it. Goal: at most three times the reading.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lab import p50, verdict
from speed import loop_s

from headwater.artifacts.encoded import Encoded
from headwater.core.records.runs import CommandRow
from headwater.sdk import flow, step
from headwater.sdk.context import Current
from headwater.sdk.running.conduct import conclude, within
from headwater.sdk.running.replay import Execution, Wish
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.rows import codecs
from headwater.store.schema import COMMANDS
from headwater.store.session import Session
from headwater.store.statements import Statements
from headwater.wire.calls import Command, Outcome, Payload, Recorded

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
SAMPLES = 5


@step
def add(total: int, n: int) -> int:
    return total + n


@flow(project="bench")
def sums() -> int:
    total = 0
    for n in range(STEPS):
        total = add(total, n).result()
    return total


class Desk:
    """An engine that carries out at once what the first execution asks for, and nothing in a replay."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.outcomes: list[Outcome] = []
        self.total = 0
        self.execution: Execution | None = None

    def send(self, command: Command, wish: Wish) -> None:
        assert self.execution is not None
        self.total += command.ordinal
        outcome = Outcome(payload=Payload(codec="json", inline=str(self.total).encode()))
        self.sent.append(command)
        self.outcomes.append(outcome)
        self.execution.deliver(command.ordinal, outcome)

    def idle(self) -> bool:
        return False

    def keep(self, encoded: Encoded) -> Payload:
        return Payload(codec=encoded.codec, inline=encoded.content)

    def content(self, payload: Payload) -> memoryview:
        return memoryview(bytearray(payload.inline or b""))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        url = sqlite_url(Path(folder) / "store.db")
        store(url, executed([]))
        reader = Reader(open_engine(url, read_only=True))
        print(f"loop of 10 M additions {loop_s():.2f} s; {STEPS} commands")
        samples = [sample(reader) for _ in range(SAMPLES)]
    read, whole = p50([one[0] for one in samples]), p50([one[1] for one in samples])
    print(f"{'reading the rows':24}{read:9.1f} ms\n{'reading and replay':24}{whole:9.1f} ms{whole / read:7.2f}x")
    verdict("replay", value=whole, unit="ms", floor=read, goal=3, holds=whole <= 3 * read)


def sample(reader: Reader) -> tuple[float, float]:
    """Milliseconds of reading, and of reading with the replay."""
    began = time.perf_counter()
    rows = read_all(reader)
    read_ms = (time.perf_counter() - began) * 1e3
    desk = executed([Recorded(command=row.command, outcome=row.outcome, answered=row.answered) for row in rows])
    assert desk.sent == []
    return read_ms, (time.perf_counter() - began) * 1e3


def read_all(reader: Reader) -> list[CommandRow]:
    with reader.picture() as picture:
        return picture.rows("commands", COMMANDS.c.run_id == "r")


def executed(record: list[Recorded]) -> Desk:
    desk = Desk()
    desk.execution = Execution("r", desk, record)

    def no_pins(name: str) -> Any:
        raise AssertionError(name)

    with within(desk.execution, Current("r"), no_pins):
        ended = conclude(lambda: sums, {}, desk.execution)
    assert ended is not None
    assert ended[1] == STEPS * (STEPS - 1) // 2, ended
    return desk


def store(url: str, desk: Desk) -> None:
    create(url, store_epoch="bench")
    engine = open_engine(url)
    rows = [
        CommandRow(
            run_id="r",
            ordinal=command.ordinal,
            kind=command.kind,
            name=command.name,
            key=command.key,
            digest=command.digest,
            command=command,
            outcome=outcome,
            answered=command.ordinal + 1,
            issued_us=1,
        )
        for command, outcome in zip(desk.sent, desk.outcomes, strict=True)
    ]
    with Session(engine).transaction() as work:
        work.many(Statements(engine.dialect).upsert("commands"), [codecs()["commands"].values(row) for row in rows])
    engine.dispose()


if __name__ == "__main__":
    main()
