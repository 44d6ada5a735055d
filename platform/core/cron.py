"""Nominal times of a cron expression in a time zone: microseconds UTC, one for each time on the wall's clock.

As Debian's cron has it: where the clock jumps forward over a time, that time comes right after the jump; where
it goes back, a time of day comes once, and one of every hour with every hour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_LOOK_AHEAD_US: Final = 120_000_000  # backwards, the library leaves out the minute it begins in


def next_after(expression: str, timezone: str, after_us: int) -> int:
    """The first nominal time after `after_us`. The expression has been checked."""
    return _us_of(next(CronSim(expression, _time_of(after_us, timezone))))


def newest(expression: str, timezone: str, *, first_us: int, last_us: int, most: int) -> list[int]:
    """The newest nominal times from `first_us` to `last_us`, both included: at most `most`, oldest first."""
    found: list[int] = []
    if most > 0:
        for time in CronSim(expression, _time_of(last_us + _LOOK_AHEAD_US, timezone), reverse=True):
            nominal_us = _us_of(time)
            if nominal_us < first_us or len(found) == most:
                break
            if nominal_us <= last_us:
                found.append(nominal_us)
    return found[::-1]


def problem_of_cron(expression: str, timezone: str) -> str:
    """Why the expression never fires; empty where it does."""
    try:
        next(CronSim(expression, _time_of(0, timezone)))
    except CronSimError as error:
        return f"{expression!r} is no cron expression that ever fires ({error})"
    except StopIteration:
        return f"{expression!r} never fires"
    except (KeyError, OSError, ValueError):  # the table of time zones has none of that name, or refuses such a name
        return f"the time zone {timezone!r} is not known"
    return ""


def utc_text(nominal_us: int) -> str:
    """RFC 3339, to the second."""
    return datetime.fromtimestamp(nominal_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_text(nominal_us: int, timezone: str) -> str:
    """The same moment as the zone writes it, with its offset."""
    return _time_of(nominal_us, timezone).isoformat()


def _time_of(time_us: int, timezone: str) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, ZoneInfo(timezone))


def _us_of(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000
