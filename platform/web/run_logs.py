"""The logs of a run: whole as text, or as they grow until the run has ended."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..actors.work.log_file import CHUNK_BYTES, SUFFIX, Part, left_out, read_at, read_whole
from ..store.queries import Queries
from ..store.scope import Scope
from ..wire.api.artifacts import LogText
from ..wire.api.runs import RunDetail
from ..wire.api.steps import StepView
from ..wire.types import TERMINAL
from .frames import HEARTBEAT, end_frame, frame
from .live import Hub
from .log_keeping import FLOW, removed_bytes

LOOK_EVERY_S: Final = 0.2


def steps_of(queries: Queries, run_id: str, name: str | None) -> Iterator[StepView]:
    """All of a run's steps, or those of one name, in the order in which they were called. Blocking."""
    after: str | None = None
    while True:
        page = queries.steps(run_id, name=name, after=after)
        yield from page.items
        if page.next is None:
            return
        after = page.next


def logs_of(folder: Path, steps: Iterable[StepView], *, flow: bool) -> Iterator[tuple[str, Path]]:
    """(heading, file) of each log that is there: with `flow` its own, then each attempt's in order, rank by rank."""
    parts = [(FLOW, folder / f"{FLOW}{SUFFIX}")] if flow else []
    for heading, path in itertools.chain(parts, _attempts_of(folder, steps)):
        if path.is_file():
            yield heading, path


def _attempts_of(folder: Path, steps: Iterable[StepView]) -> Iterator[tuple[str, Path]]:
    for each in steps:
        for attempt in each.attempts:
            heading, stem = f"{each.name} #{each.ordinal}, attempt {attempt.number}", f"{each.ordinal}.{attempt.number}"
            yield f"{heading}, {attempt.state}", folder / f"{stem}{SUFFIX}"
            for rank, path in _ranks_of(folder, stem):
                yield f"{heading}, rank {rank}", path


def _ranks_of(folder: Path, stem: str) -> list[tuple[int, Path]]:
    """What the ranks of a gang wrote, but for rank 0, whose log is the attempt's."""
    found = (folder / "ranks").glob(f"{stem}.*{SUFFIX}")
    ranks = [(path.name.removeprefix(f"{stem}.").removesuffix(SUFFIX), path) for path in found]
    return sorted((int(rank), path) for rank, path in ranks if rank.isdigit())


def missing(folder: Path, run: RunDetail) -> str:
    """A line about logs that were there once, or may have been; empty where none can be missing."""
    if size_bytes := removed_bytes(folder):
        return f"[... {size_bytes:,} bytes of older attempts were removed: logs.total_max_bytes was reached ...]\n"
    if not run.ended_us or not run.steps or folder.is_dir():
        return ""
    return (
        "[... no logs are here: the run wrote nothing, or they went after logs.keep_s or at logs.total_max_bytes ...]\n"
    )


def text_of(parts: Iterable[tuple[str, Path]], note: str = "") -> Iterator[bytes]:
    """The logs one after the other, in blocks: each block costs its sender a change of threads. Blocking."""
    block = bytearray()
    for piece in _pieces(parts, note):
        block += piece
        if len(block) >= CHUNK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _pieces(parts: Iterable[tuple[str, Path]], note: str) -> Iterator[bytes]:
    if note:
        yield note.encode()
    for heading, path in parts:
        yield f"==> {heading} <==\n".encode()
        last = b"\n"
        for part in read_whole(path):
            if part.left_out:
                yield left_out(part.left_out).encode()
            last = part.content
            yield part.content
        if not last.endswith(b"\n"):
            yield b"\n"


class Tail:
    """The logs of one run as they grow. Each `read` gives what has come since the one before."""

    def __init__(self, queries: Queries, folder: Path, run_id: str, step: str | None) -> None:
        self._queries, self._folder, self._run_id, self._step = queries, folder, run_id, step
        self._names: dict[int, str] = {-1: FLOW}
        self._offsets: dict[str, int] = {}

    def read(self, *, to_the_end: bool) -> Iterator[LogText]:
        """What is new, as whole lines; `to_the_end` gives a last line without an end as well."""
        for stem in sorted(self._stems(), key=_order):
            ordinal, attempt = _order(stem)
            name = self._name_of(ordinal)
            if self._step in (None, name):
                for part in self._new(stem, to_the_end=to_the_end):
                    yield LogText(
                        name=name,
                        ordinal=ordinal,
                        attempt=attempt,
                        offset=part.offset,
                        end=part.offset + len(part.content),
                        text=part.content.decode(errors="replace"),
                        left_out=part.left_out,
                    )

    def _stems(self) -> Iterator[str]:
        if self._folder.is_dir():
            for path in self._folder.glob(f"*{SUFFIX}"):
                yield path.name.removesuffix(SUFFIX)

    def _new(self, stem: str, *, to_the_end: bool) -> Iterator[Part]:
        path = self._folder / f"{stem}{SUFFIX}"
        while (part := read_at(path, self._offsets.get(stem, 0))) is not None:
            lines = part.content.rfind(b"\n") + 1
            content = part.content[:lines] if lines else part.content
            if not lines and len(content) < CHUNK_BYTES and not to_the_end:
                return
            self._offsets[stem] = part.offset + len(content)
            yield part._replace(content=content)

    def _name_of(self, ordinal: int) -> str:
        if ordinal not in self._names:
            page = self._queries.steps(self._run_id, after=str(ordinal - 1) if ordinal else None)
            self._names.update({each.ordinal: each.name for each in page.items})
        return self._names.get(ordinal, f"#{ordinal}")


def _order(stem: str) -> tuple[int, int]:
    ordinal, _, attempt = stem.partition(".")
    return (int(ordinal), int(attempt)) if attempt.isdigit() and ordinal.isdigit() else (-1, 1)


async def followed(tail: Tail, queries: Queries, hub: Hub, run_id: str, *, heartbeat_s: float) -> AsyncIterator[bytes]:
    """Server-sent events: `log` with each new text, `end` with the run's state after the last of them."""
    with hub.seat(Scope(run_id=run_id), after=None) as seat:
        spoke_s = time.monotonic()
        while True:
            last = await asyncio.to_thread(queries.last_of_run, run_id)
            ended = last is not None and last.type in TERMINAL
            news = await asyncio.to_thread(list, tail.read(to_the_end=ended))
            if news:
                yield b"".join(frame("log", msgspec.json.encode(each)) for each in news)
                spoke_s = time.monotonic()
            if ended and last is not None:
                yield end_frame(last.type)
                return
            if time.monotonic() - spoke_s > heartbeat_s:
                yield HEARTBEAT
                spoke_s = time.monotonic()
            seat.subscription.take()
            seat.bell.clear()
            await _rung(seat.bell)


async def _rung(bell: asyncio.Event) -> None:
    """Returns when something of the run was told, or after a moment: files tell nobody that they grow."""
    try:
        async with asyncio.timeout(LOOK_EVERY_S):
            await bell.wait()
    except TimeoutError:
        return
