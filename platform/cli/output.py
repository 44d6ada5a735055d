"""How things are shown: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .listings import Column

UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
STATE_STYLE: Final = {
    "SUCCEEDED": "green", "READY": "green", "alive": "green",
    "RUNNING": "cyan", "LEASED": "cyan",
    "PENDING": "yellow", "WAITING": "yellow", "BLOCKED": "yellow", "BACKOFF": "yellow", "REQUESTED": "yellow",
    "FAILED": "red", "LOST": "red", "NEEDS_ATTENTION": "red", "CANCELLED": "magenta", "CANCELLING": "magenta",
}  # fmt: skip


def console() -> Console:
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=2) + "\n")


def print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """The rows under their headings, or `empty` where there is none."""
    if not rows:
        console().print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.kind in ("number", "bytes")
        whole = column.kind in ("id", "time", "state")
        table.add_column(column.heading, justify="right" if numeric else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*(shown(row.get(column.field), column.kind) for column in columns))
    console().print(table)


def shown(value: Any, kind: str) -> Text:
    if value is None or value == "":
        return Text("-", style="dim")
    if kind == "state":
        return Text(str(value), style=STATE_STYLE.get(str(value), ""))
    return Text(_FORMS.get(kind, str)(value))


def moment(time_us: int) -> str:
    """Local time to the second."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(start_us: int | None, end_us: int | None) -> str:
    return "-" if start_us is None or end_us is None else f"{(end_us - start_us) / 1e6:.1f} s"


def size(size_bytes: int) -> str:
    scaled, unit = float(size_bytes), 0
    while scaled >= 1024 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1024, unit + 1
    return f"{scaled:.{min(unit, 1)}f} {UNITS[unit]}"


def _names(value: Any) -> str:
    listed = value.items() if isinstance(value, dict) else value
    return ", ".join(str(each.get("name", each)) if isinstance(each, dict) else _name(each) for each in listed)


def _name(each: Any) -> str:
    return str(each[0]) if isinstance(each, tuple | list) and each else str(each)


_FORMS: Final[dict[str, Any]] = {
    "time": lambda value: moment(value) if value else "-",
    "bytes": size,
    "number": lambda value: f"{value:,}",
    "names": _names,
    "json": lambda value: json.dumps(value, separators=(", ", ": ")),
    "digest": lambda value: str(value)[:12],
}
