"""When a window is open: on days of the week between two times on a zone's wall clock, or once between two dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ..errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
KEYS = ("days", "from", "to", "zone")

Span = tuple[int, int]  # from when until when, in µs


@dataclass(frozen=True, slots=True)
class Hours:
    """Daily ones open on `days` (Monday is 0), and their times count from midnight in `zone`; others have no days.

    An hour that a clock leaves out or has twice is taken as `datetime` does: the first of two, the one before the gap.
    """

    days: tuple[int, ...]
    from_us: int
    to_us: int
    zone: str = "UTC"

    def span(self, now_us: int) -> Span | None:
        """The one that is open, or else the next; None where none comes any more."""
        if not self.days:
            return (self.from_us, self.to_us) if now_us < self.to_us else None
        return self._daily(now_us) if self.zone == "UTC" else self._zoned(now_us)

    def open_at(self, at_us: int) -> bool:
        span = self.span(at_us)
        return span is not None and span[0] <= at_us

    def shown(self) -> str:
        """As people say it: `mon, fri 08:00 to 18:30 Europe/Berlin`."""
        if not self.days:
            return f"{dated(self.from_us)} to {dated(self.to_us)}"
        days = "daily" if len(self.days) == len(DAYS) else ", ".join(DAYS[day] for day in self.days)
        return f"{days} {_time(self.from_us)} to {_time(self.to_us % DAY_US)} {self.zone}"

    def written(self) -> dict[str, object]:
        """As `hours_of` reads it back."""
        if not self.days:
            return {"from": dated(self.from_us), "to": dated(self.to_us)}
        written: dict[str, object] = {"days": [DAYS[day] for day in self.days]}
        written |= {"from": _time(self.from_us), "to": _time(self.to_us % DAY_US)}
        return written | ({} if self.zone == "UTC" else {"zone": self.zone})

    def _daily(self, now_us: int) -> Span | None:
        today = now_us // DAY_US
        for day in range(today - 1, today + 9):  # one that began yesterday may still be open
            if (day + FIRST_WEEKDAY) % 7 in self.days:
                opens, closes = day * DAY_US + self.from_us, day * DAY_US + self.to_us
                if now_us < closes:
                    return opens, closes
        return None

    def _zoned(self, now_us: int) -> Span | None:
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(now_us // 1_000_000, zone).date()
        for ahead in range(-1, 9):
            day = today + timedelta(days=ahead)
            if day.weekday() in self.days:
                opens, closes = _on(day, self.from_us, zone), _on(day, self.to_us, zone)
                if now_us < closes:
                    return opens, closes
        return None


def hours_of(body: Mapping[str, object], where: str) -> Hours:
    """The hours that a table describes. Raises InvalidInput naming the table."""
    begins, ends, zone = str(body.get("from", "")), str(body.get("to", "")), _zone(body.get("zone", "UTC"), where)
    try:
        if "T" in begins:
            found = Hours((), _microseconds(begins, zone), _microseconds(ends, zone))
        else:
            from_us, to_us = _of_day(begins), _of_day(ends)
            to_us = to_us if to_us > from_us else to_us + DAY_US
            found = Hours(_days(body.get("days", DAYS), where), from_us, to_us, zone)
    except ValueError:
        remedy = 'Write both as "08:00", or both as "2026-11-27T06:00Z"'
        raise InvalidInput(f"{where} is from {begins!r} to {ends!r}", remedy=remedy) from None
    if found.to_us <= found.from_us or (not found.days and "days" in body):
        raise InvalidInput(
            f"{where} is from {begins!r} to {ends!r}", remedy="Let it end after it begins; dates stand without days"
        )
    return found


def dated(at_us: int) -> str:
    """`2026-11-27T06:00:00Z`."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def _zone(written: object, where: str) -> str:
    try:
        return ZoneInfo(str(written)).key
    except (KeyError, OSError, ValueError):  # the table of time zones has none of that name, or refuses such a name
        remedy = 'Write a name of the table of time zones, for example "Europe/Berlin"'
        raise InvalidInput(f"{where}.zone is {written!r}", remedy=remedy) from None


def _days(written: object, where: str) -> tuple[int, ...]:
    if not isinstance(written, list | tuple) or not written or any(day not in DAYS for day in written):
        raise InvalidInput(f"{where}.days is {written!r}", remedy=f"Write a list of: {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(day) for day in written}))


def _of_day(text: str) -> int:
    hours, minutes = text.split(":")
    found = int(hours) * 60 + int(minutes)
    if not (0 <= found < 24 * 60 and 0 <= int(minutes) < 60):
        raise ValueError(text)
    return found * MINUTE_US


def _microseconds(text: str, zone: str) -> int:
    then = datetime.fromisoformat(text)
    then = then if then.tzinfo else then.replace(tzinfo=ZoneInfo(zone))
    return round(then.timestamp()) * 1_000_000


def _on(day: date, of_day_us: int, zone: ZoneInfo) -> int:
    then = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(microseconds=of_day_us)
    return int(then.timestamp()) * 1_000_000


def _time(of_day_us: int) -> str:
    return f"{of_day_us // MINUTE_US // 60:02}:{of_day_us // MINUTE_US % 60:02}"
