"""How processes that share few cores stay out of one another's way.

What a waiting step waits for (Conductor, Scheduler, hosts, workers) runs at the priority it was started with;
what only tells or keeps (API, views, registries) yields to it by a niceness of its own, and wakes without taking a
core from who is at work (the batch class of Linux's scheduler). And in every process a thread that computes hands
the interpreter over within half a millisecond, not five: calls come in on threads of Ray's, and each of them needs it.
"""

from __future__ import annotations

import gc
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FIRST: Final = 0
BESIDE: Final = 5
LAST: Final = 10
SWITCH_S: Final = 0.0005
COLLECT_AFTER: Final = (20_000, 20, 50)


_HASTY: Final[queue.SimpleQueue[Callable[[], None]]] = queue.SimpleQueue()
_WAITING: Final[list[threading.Thread]] = []  # the thread that was started before the others became nice


def settle_in(niceness: int = FIRST) -> None:
    """Called by an actor when it is made; a test that makes one in its own process is left alone."""
    if os.environ.get("RAY_JOB_ID"):
        sys.setswitchinterval(SWITCH_S)
        if niceness > FIRST:
            _WAITING.append(threading.Thread(target=lambda: _HASTY.get()(), daemon=True))
            _WAITING[-1].start()
        hasty = {thread.native_id for thread in _WAITING}
        for thread in os.listdir("/proc/self/task"):  # both belong to threads, and Ray has started some
            if int(thread) not in hasty:
                _yield_to_others(int(thread), niceness)


def started_first(work: Callable[[], None], name: str) -> threading.Thread:
    """A thread at that work which yields to nobody, though its process does: all writers of a store take turns, and
    one that holds the turn must not be the one that waits for a core. There is one such thread in a process."""
    if _WAITING:
        thread = _WAITING.pop()
        thread.name = name
        _HASTY.put(work)
        return thread
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def collect_rarely() -> None:
    """For an owner of much that lives long and lies in no cycles: what is there now is never looked through again for
    garbage, and the rest after thirty times as many new objects as Python would wait for. It was half of a decision."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


@contextmanager
def without_collecting() -> Iterator[None]:
    """While much is made that stays: Python would look through all of it for garbage again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _yield_to_others(thread: int, niceness: int) -> None:
    try:
        if niceness > os.getpriority(os.PRIO_PROCESS, thread):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
        if niceness > FIRST:
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
    except OSError:  # it has just ended, or may not be set here: courtesy only
        return
