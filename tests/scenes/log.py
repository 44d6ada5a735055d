"""A real log that grows, and a taker that checks what it is handed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.entries.events import CommandDone
from headwater.wire.entries.nodes import NodeLeft
from headwater.wire.types import AnyBody, Entry, Said

LOST, KEPT, TWICE, LATE = "lost", "kept", "twice", "late"
STRETCHES = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([LOST, KEPT, TWICE, LATE]), st.booleans()), min_size=1, max_size=8
)


class Log:
    """A real store to which `say` adds entries of two types in turn."""

    def __init__(self, folder: Path) -> None:
        url = sqlite_url(folder / "store.db")
        create(url, store_epoch="one")
        self.engine = open_engine(url)
        self.writer = Writer(self.engine, "conductor")
        self.writer.take_epoch()
        self.reader = Reader(open_engine(url, read_only=True))

    def say(self, count: int) -> list[Entry]:
        bodies: list[AnyBody] = [CommandDone(command="c"), NodeLeft(node="n", reason="x")]
        words = [
            Said(body=body, subject="s", project="eta", principal="me", time_us=1)
            for body in itertools.islice(itertools.cycle(bodies), count)
        ]
        return self.writer.commit({}, words)


class Taken:
    """What a follower hands over, checked to be contiguous as it comes."""

    def __init__(self, start: int) -> None:
        self.start = self.upto = start
        self.entries: list[Entry] = []

    def take(self, entries: list[Entry], upto: int) -> None:
        assert all(self.upto < entry.position <= upto for entry in entries)
        self.upto = upto
        self.entries += entries


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0)
