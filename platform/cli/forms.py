"""How one value is said in a table: a form for each kind of column."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from .listings import Column

UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
NAMES_SHOWN: Final = 4
NONE: Final = "-"
DEPLOYED: Final = re.compile(r"""(?<=")[^"]*/code/[0-9a-f]{64}/""")


def said(row: Mapping[str, Any], column: Column) -> str:
    """The cell of a row, on one line and without control characters."""
    if column.kind == "took":
        return duration(row.get("started_us"), row.get("ended_us"))
    value = row.get(column.field)
    if column.kind == "drawn":  # its spaces count, and nothing is said by nothing
        return one_line(str(value))
    text = (
        NONE if value is None or (value == "" and column.kind != "trigger") else str(FORMS.get(column.kind, str)(value))
    )
    return one_line(text) or NONE


def one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text).rstrip()


def moment(time_us: int) -> str:
    """Local time to the second, with the date where it is not today's."""
    then = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone()
    is_today = then.date() == datetime.now(UTC).astimezone().date()
    return then.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def clock(time_us: int) -> str:
    """Local time of day to the second."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone().strftime("%H:%M:%S")


def duration(start_us: int | None, end_us: int | None) -> str:
    return NONE if start_us is None or end_us is None else seconds((end_us - start_us) / 1e6)


def seconds(took_s: float) -> str:
    if took_s < 0.1:
        return f"{took_s * 1e3:.0f} ms"
    if took_s < 60:
        return f"{took_s:.1f} s"
    minutes, rest = divmod(round(took_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(size_bytes: int) -> str:
    scaled, unit = float(size_bytes), 0
    while scaled >= 1024 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1024, unit + 1
    return f"{scaled:.{min(unit, 1)}f} {UNITS[unit]}"


def number(value: float) -> str:
    """A whole number in full; any other with two digits after the point, or four that count where it is small."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.4g}"


def metrics(value: Any) -> str:
    """`mae 11.40  baseline_mae 23.23`"""
    if not isinstance(value, Mapping):
        return json.dumps(value)
    return "  ".join(f"{name} {number(each) if _is_number(each) else each}" for name, each in value.items())


def names(value: Any) -> str:
    return ", ".join(map(_name, value))


def counted(value: Any) -> str:
    """How many there are, and the first names: `19: year, month, day, dep_time, …`"""
    first = ", ".join(_name(each) for each in value[:NAMES_SHOWN])
    return f"{len(value)}: {first}{', …' if len(value) > NAMES_SHOWN else ''}" if value else "0"


def trigger(value: str) -> str:
    """`event:flights.landed` of the full name, project/flow/event:flights.landed; without a name it was a call."""
    return value.split("/", 2)[-1] or "a call"


def compact(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "), ensure_ascii=False)


def frames(text: str) -> list[str]:
    """The lines of a traceback, with deployed files named as in the folder that was deployed."""
    return [one_line(line) for line in DEPLOYED.sub("", text).rstrip().splitlines()]


def _name(each: Any) -> str:
    if isinstance(each, Mapping):
        return str(each.get("name", each))
    return str(each[0]) if isinstance(each, tuple | list) and each else str(each)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def devices(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many of each model, those in quarantine apart."""
    kinds = Counter(row["model"] if row["state"] == "READY" else f"{row['model']} in quarantine" for row in rows)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or NONE


def reason(text: str) -> str:
    """Of a dead letter: what was wrong, without the trigger's name, which has a column of its own."""
    return re.sub(r"^Trigger \S+: ", "", text)


FORMS: Final[dict[str, Callable[[Any], str]]] = {
    "time": lambda value: moment(value) if value else NONE,
    "bytes": lambda value: size(value) if value else NONE,
    "number": number,
    "reason": reason,
    "names": names,
    "counted": counted,
    "metrics": metrics,
    "trigger": trigger,
    "json": compact,
    "devices": devices,
    "labels": lambda value: ", ".join(f"{key}={text}" for key, text in sorted(value.items())) or NONE,
    "figure": lambda value: f"{value:.6g}" if isinstance(value, float) else str(value),
    "kind": lambda value: value.get("type", NONE) if isinstance(value, dict) else NONE,
    "digest": lambda value: str(value)[:12],
}
