"""Which logs may go: those of runs that ended long ago, and the oldest where all together take too much room. Pure.

Of a run that goes on, the logs of attempts that have ended go last; what is being written never goes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Log:
    """Of one attempt, or of the flow. `ended_us` is the end of its run, None while that goes on."""

    run_id: str
    name: str
    size_bytes: int
    written_us: int
    ended_us: int | None = None
    at_work: bool = False


def expendable(logs: Collection[Log], *, before_us: int, total_max_bytes: int) -> list[Log]:
    """What goes: all of runs that ended before that time, then one after the other until the rest fits."""
    kept = sorted((log for log in logs if not log.at_work), key=_last_comes_last)
    busy_bytes = sum(log.size_bytes for log in logs if log.at_work)
    gone = [log for log in kept if log.ended_us is not None and log.ended_us < before_us]
    total_bytes = busy_bytes + sum(log.size_bytes for log in kept[len(gone) :])
    for log in kept[len(gone) :]:
        if total_bytes <= total_max_bytes:
            break
        gone.append(log)
        total_bytes -= log.size_bytes
    return gone


def _last_comes_last(log: Log) -> tuple[bool, int, str, str]:
    return log.ended_us is None, log.written_us if log.ended_us is None else log.ended_us, log.run_id, log.name
