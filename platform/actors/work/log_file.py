"""The log of one attempt or flow: a file, and where that grows past its bound, more files of which the oldest go.

    3.1.log             the beginning, up to half of the bound
    3.1.log@33554432    what followed, from that byte on: a few of them, each an eighth of the bound

So the beginning and the end stay, and a reader sees from the names how many bytes are left out between them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TextIO

TAILS: Final = 4
LOOK_EVERY_CHARACTERS: Final = 1 << 14
CHUNK_BYTES: Final = 1 << 16
SUFFIX: Final = ".log"


class Piece(NamedTuple):
    """`start` is the place in the whole log at which the file begins."""

    start: int
    path: Path


class Part(NamedTuple):
    """Content of a log at `offset`, before which `left_out` bytes are gone."""

    offset: int
    left_out: int
    content: bytes


class LogFile:
    """Written line by line, by several threads too. `moved` is told the descriptor of each file that takes over."""

    def __init__(self, path: Path, max_bytes: int, moved: Callable[[int], None] = lambda descriptor: None) -> None:
        self._path, self._max_bytes, self._moved = path, max_bytes, moved
        self._lock = threading.RLock()
        self._unseen = 0
        self._own: Path | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        last = pieces(path)[-1:]
        self._start = last[0].start if last else 0
        self._stream = _opened(last[0].path if last else path)

    @property
    def stream(self) -> TextIO:
        return self._stream

    def lend(self, path: Path) -> None:
        """From the first word on this is the log at `path`, which must not be there; until then there is none."""
        with self._lock:
            self._own = path

    def settle(self) -> bool:
        """Whether the file has something in it; then it is the log that it was lent to."""
        with self._lock:
            self._stream.flush()
            if self._own is not None and os.fstat(self._stream.fileno()).st_size:
                self._come_to_its_place()
            return self._own is None

    def _come_to_its_place(self) -> None:
        assert self._own is not None
        self._own.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.rename(self._own)
        self._path, self._own = self._own, None

    def write(self, text: str) -> int:
        with self._lock:
            if self._own is not None:
                self._come_to_its_place()
            self._unseen += len(text)
            if self._unseen > LOOK_EVERY_CHARACTERS:
                self.look()
            return self._stream.write(text)

    def flush(self) -> None:
        with self._lock:
            self._stream.flush()

    def look(self) -> None:
        """Goes on in a new file where this one is full: of what was written past this object, too."""
        with self._lock:
            self._unseen = 0
            if self._stream.closed or not self.settle():
                return
            size = os.fstat(self._stream.fileno()).st_size
            if size >= (self._max_bytes // 8 if self._start else self._max_bytes // 2):
                self._go_on(self._start + size)

    def close(self) -> None:
        with self._lock:
            self._stream.close()

    def _go_on(self, start: int) -> None:
        before, self._start = self._stream, start
        self._stream = _opened(self._path.with_name(f"{self._path.name}@{start}"))
        self._moved(self._stream.fileno())
        before.close()
        for piece in pieces(self._path)[1:-TAILS]:
            piece.path.unlink(missing_ok=True)


def pieces(path: Path) -> list[Piece]:
    """The files of a log that are there, in order."""
    found = [Piece(int(each.name.rpartition("@")[2]), each) for each in path.parent.glob(f"{path.name}@*")]
    return [Piece(0, path)] * path.is_file() + sorted(found)


def read_at(path: Path, offset: int, most: int = CHUNK_BYTES) -> Part | None:
    """What the log holds from `offset` on, or from where it goes on after that; None at its end."""
    for piece in pieces(path):
        begins = max(offset, piece.start)
        try:
            with piece.path.open("rb") as source:
                source.seek(begins - piece.start)
                content = source.read(most)
        except FileNotFoundError:  # it went while we looked
            continue
        if content:
            return Part(begins, begins - offset, content)
    return None


def read_whole(path: Path) -> Iterator[Part]:
    offset = 0
    while (part := read_at(path, offset)) is not None:
        yield part
        offset = part.offset + len(part.content)


def left_out(size_bytes: int) -> str:
    """The line that stands in the place of what is gone."""
    return f"[... {size_bytes:,} bytes are left out here: the log was longer than logs.file_max_bytes ...]\n"


def _opened(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
