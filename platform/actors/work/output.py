"""What user code prints and logs, led to the log of whoever runs it.

`sys.stdout` and `sys.stderr` are replaced once by a stream that asks, at each write, where it should go: a handler
that user code made in one attempt goes on to work in the next. Logs are written line by line and bounded.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from .log_file import LogFile

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOOK_EVERY_S: Final = 0.5

_flow_log: ContextVar[Callable[[], LogFile] | None] = ContextVar("flow_log", default=None)


class Led(io.TextIOBase):
    """A stream whose target is chosen at each write: a log, or else what the process had."""

    def __init__(self, own: TextIO, target: Callable[[], LogFile | None]) -> None:
        self._own, self._target = own, target

    def write(self, text: str) -> int:
        return (self._target() or self._own).write(text)

    def flush(self) -> None:
        (self._target() or self._own).flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def buffer(self) -> BinaryIO:
        return self._stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def _stream(self) -> TextIO:
        log = self._target()
        return self._own if log is None else log.stream


class ProcessOutput:
    """For a process that runs one attempt at a time: all it prints, threads and C code included, is that attempt's."""

    def __init__(self, max_bytes: int, spare: Path) -> None:
        self._max_bytes, self._spare = max_bytes, spare
        self._ready: LogFile | None = None
        self._open: LogFile | None = None
        faulthandler.enable(file=2, all_threads=False)  # a signal's last words stand in the attempt's log
        _lead(lambda: self._open)
        threading.Thread(target=self._look, name="log-bound", daemon=True).start()

    @contextlib.contextmanager
    def to(self, path: Path) -> Iterator[None]:
        """The file comes to its place with the first word: most attempts print nothing, and a file is dear to make."""
        log = self._log_at(path)
        saved = os.dup(1), os.dup(2)
        _stand_in(log.stream.fileno())
        self._open = log
        try:
            yield
        finally:
            self._open = None
            for standard, own in zip((1, 2), saved, strict=True):
                os.dup2(own, standard)
                os.close(own)
            self._put_away(log)

    def _log_at(self, path: Path) -> LogFile:
        if path.exists():
            return LogFile(path, self._max_bytes, _stand_in)
        log, self._ready = self._ready or LogFile(self._spare, self._max_bytes, _stand_in), None
        log.lend(path)
        return log

    def _put_away(self, log: LogFile) -> None:
        if log.settle():
            log.close()
        else:
            self._ready = log

    def _look(self) -> None:
        """Bounds what children and C code write, which passes by us."""
        while True:
            time.sleep(LOOK_EVERY_S)
            if (log := self._open) is not None:
                with contextlib.suppress(OSError):
                    log.look()


class ThreadOutput:
    """For a process with a thread for each run: what a thread prints goes to its own log."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        _lead(lambda: None if (opened := _flow_log.get()) is None else opened())

    @contextlib.contextmanager
    def to(self, path: Path) -> Iterator[None]:
        """The file is made at the first word: most flows print nothing."""
        with contextlib.ExitStack() as logs:
            opened = cache(lambda: logs.enter_context(contextlib.closing(LogFile(path, self._max_bytes))))
            token = _flow_log.set(opened)
            try:
                yield
            finally:
                _flow_log.reset(token)


def _stand_in(descriptor: int) -> None:
    """What this process and its children write from now on goes to that file."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _lead(target: Callable[[], LogFile | None]) -> None:
    led = Led(sys.stdout, target)
    sys.stdout = sys.stderr = led
    handler = logging.StreamHandler(led)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
