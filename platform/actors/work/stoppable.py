"""A thread for user code that can be told to stop: an exception is raised in it wherever its Python code stands.

C code that does not return to Python is not reached; for that the process has to end.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable


class Stopped(BaseException):
    """Raised inside user code that is to end. Not an Exception, so that `except Exception` lets it through."""


class UserThread:
    """Runs what it is given, one after the other, in one thread."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="user-code", daemon=True)
        self._thread.start()

    def give(self, work: Callable[[], None]) -> None:
        """`work` must not raise, and runs user code only inside `Gate.opened`."""
        self._work.put(work)

    def _serve(self) -> None:
        while True:
            self._work.get()()


class Gate:
    """The stretch of a thread in which it may be stopped. A stop before it opens is kept; after it closed, nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._closed = False
        self.reason = ""

    def stop(self, reason: str) -> None:
        """Raises Stopped in the thread, now or as soon as the gate opens. The first reason counts."""
        with self._lock:
            if not self._closed and not self.reason:
                self.reason = reason
                if self._thread is not None:
                    raise_in(self._thread, Stopped)

    def run(self, work: Callable[[], None]) -> None:
        """Runs `work` where it can be stopped; Stopped ends here at the latest."""
        try:
            with self._lock:
                if self.reason:
                    raise Stopped
                self._thread = threading.get_ident()
            work()
        finally:
            self._close()

    def _close(self) -> None:
        while True:  # a stop on its way may strike while the lock is being taken
            try:
                with self._lock:
                    self._closed, self._thread = True, None
                if self.reason:
                    _let_it_strike()
                return
            except Stopped:
                continue


def _let_it_strike() -> None:
    """An exception on its way arrives at the next turn of a loop. (Taking it back would leave CPython 3.11's
    interpreter checking for one at every call from then on.)
    """
    for _ in range(100):
        pass


def raise_in(thread: int, kind: type[BaseException]) -> None:
    """Raises it there at the next turn of Python code; code that does not come back to Python is not reached."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
