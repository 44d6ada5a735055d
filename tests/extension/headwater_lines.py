"""The lines of a file as events, and runs that took long as something to listen for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from headwater.core.trigger_kind import Heard
from headwater.errors import InvalidInput
from headwater.events.sources import Read
from headwater.wire.entries.runs import RunSucceeded
from headwater.wire.envelope import Event
from headwater.wire.manifest import TriggerSpec
from headwater.wire.types import Entry

LONG_US = 60_000_000


class LinesOfAFile:
    """A line is its place: the file only grows."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def read(self, after: int | None, limit: int) -> Sequence[Read]:
        lines = (await asyncio.to_thread(self._file.read_bytes)).split(b"\n")[:-1]
        first = 0 if after is None else after + 1
        if first >= len(lines):
            await asyncio.sleep(0.05)
        return [self._read(number, lines[number]) for number in range(first, min(len(lines), first + limit))]

    def _read(self, number: int, line: bytes) -> Read:
        said = json.loads(line)
        event_id = f"{self._file.name}/{number}"
        return Read(number, Event(id=event_id, source="lines", type=said["type"], data=said["data"]))

    async def close(self) -> None: ...


class Lines:
    name = "lines"

    def open(self, where: str) -> LinesOfAFile:
        file = Path(where)
        if not file.is_file():
            raise InvalidInput(f"{where!r} is no file", remedy="Name one with a line of JSON for each event")
        return LinesOfAFile(file)


class LongRuns:
    """`on.other("long", "eta/train")`: each run of the flow that took more than a minute."""

    name = "long"
    types = frozenset({"run.succeeded"})

    def fault(self, spec: TriggerSpec) -> str:
        return "" if "/" in spec.subject else f"{spec.subject!r} is no flow: write project/flow"

    def hears(self, entry: Entry) -> Iterable[Heard]:
        body = entry.body
        if isinstance(body, RunSucceeded) and body.duration_us > LONG_US:
            yield Heard(f"{entry.project}/{body.flow}", {"run_id": entry.run_id, "took_s": body.duration_us / 1e6})


LINES = Lines()
LONG_RUNS = LongRuns()
