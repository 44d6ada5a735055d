"""Lengths of time as people write them: seconds, or `30m`, `1h30m`, `500ms`, or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from ..errors import InvalidInput

Duration = float | str | timedelta

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_REMEDY: Final = 'Write seconds, or for example "30m", "1h30m", "500ms"'


def seconds(written: Duration, *, where: str) -> float:
    """`written` in seconds. Raises InvalidInput naming `where` for what is negative or no length of time."""
    if isinstance(written, timedelta):
        value = written.total_seconds()
    elif isinstance(written, str):
        value = _read(written, where)
    elif isinstance(written, int | float) and not isinstance(written, bool):
        value = float(written)
    else:
        raise InvalidInput(f"{where} is {written!r}, which is no length of time", remedy=_REMEDY)
    if not 0 <= value < float("inf"):
        raise InvalidInput(f"{where} is {written!r}, which is no length of time", remedy="Write 0 or more seconds")
    return value


def _read(written: str, where: str) -> float:
    text = written.replace(" ", "")
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidInput(f"{where} is {written!r}, which is no length of time", remedy=_REMEDY)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
