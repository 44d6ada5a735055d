"""What user code prints and logs, led to the file of whoever runs it.

`sys.stdout` and `sys.stderr` are replaced once by a stream that asks, at each write, where it should go: a handler
that user code made in one attempt goes on to work in the next. Files are line-buffered and appended to.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, Final, TextIO

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_flow_log: ContextVar[TextIO | None] = ContextVar("flow_log", default=None)


class Led(io.TextIOBase):
    """A stream whose target is chosen at each write."""

    def __init__(self, target: Callable[[], TextIO]) -> None:
        self._target = target

    def write(self, text: str) -> int:
        return self._target().write(text)

    def flush(self) -> None:
        self._target().flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._target().fileno()

    @property
    def buffer(self) -> BinaryIO:
        return self._target().buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"


class ProcessOutput:
    """For a process that runs one attempt at a time: all it prints, threads and C code included, is that attempt's."""

    def __init__(self) -> None:
        self._own = sys.stdout
        self._open: TextIO | None = None
        _lead(lambda: self._open or self._own)

    @contextlib.contextmanager
    def to(self, path: Path) -> Iterator[None]:
        stream = _opened(path)
        saved = os.dup(1), os.dup(2)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        self._open = stream
        try:
            yield
        finally:
            self._open = None
            for standard, own in zip((1, 2), saved, strict=True):
                os.dup2(own, standard)
                os.close(own)
            stream.close()


class ThreadOutput:
    """For a process with a thread for each run: what a thread prints goes to its own file."""

    def __init__(self) -> None:
        own = sys.stdout
        _lead(lambda: _flow_log.get() or own)

    @contextlib.contextmanager
    def to(self, path: Path) -> Iterator[None]:
        with _opened(path) as stream:
            token = _flow_log.set(stream)
            try:
                yield
            finally:
                _flow_log.reset(token)


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def _lead(target: Callable[[], TextIO]) -> None:
    led = Led(target)
    sys.stdout = sys.stderr = led
    handler = logging.StreamHandler(led)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
