"""How things are shown: tables for people, JSON for programs.

A row is one line, always. Elsewhere than on a terminal it is as long as it is. On a terminal it fits:
first columns of low rank are left out, then long texts end in `…`; ids, states, times and numbers stay whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .forms import NONE, said
from .listings import Column

GAP: Final = 2
TEXT_WISHED: Final = 28  # before a text is cropped below, columns of low rank go
TEXT_MIN: Final = 12  # and no text is cropped below this
RIGHT: Final = ("number", "bytes", "took", "figure")
CROPPED: Final = ("text", "names", "counted", "metrics", "json", "trigger")
STATE_STYLE: Final = {
    "SUCCEEDED": "green", "READY": "green", "alive": "green", "ok": "green",
    "RUNNING": "cyan", "LEASED": "cyan",
    "PENDING": "yellow", "WAITING": "yellow", "BLOCKED": "yellow", "BACKOFF": "yellow", "REQUESTED": "yellow",
    "FAILED": "red", "LOST": "red", "NEEDS_ATTENTION": "red", "CANCELLED": "magenta", "CANCELLING": "magenta",
    "PREEMPTED": "yellow",
}  # fmt: skip


def console() -> Console:
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def say(text: str | Text, *, style: str = "") -> None:
    """One line as it is, without markup."""
    console().print(text, style=style or None, markup=False)


def print_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=2) + "\n")


def print_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """The rows under their headings, or `empty` where there is none."""
    out = console()
    if not rows:
        out.print(empty, markup=False)
        return
    room = out.width if out.is_terminal else None
    for line in lines_of(columns, rows, room=room):
        out.print(line, soft_wrap=True)


def lines_of(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, room: int | None) -> list[Text]:
    """The heading and a line for each row, no longer than `room` cells where that can be."""
    cells = {column: [said(row, column) for row in rows] for column in columns}
    widths = {column: max(cell_len(text) for text in (column.heading, *cells[column])) for column in columns}
    fitted = _fit(widths, room)
    head = _line([(column, column.heading, "bold") for column in fitted], fitted)
    body = [_line([(column, cells[column][at], _style(column, cells[column][at])) for column in fitted], fitted)
            for at in range(len(rows))]  # fmt: skip
    return [head, *body]


def _fit(widths: Mapping[Column, int], room: int | None) -> dict[Column, int]:
    fitted = dict(widths)
    if room is None:
        return fitted
    for column in sorted(widths, key=lambda each: -each.rank):
        if column.rank and _width(_squeezed(fitted, TEXT_WISHED)) > room:
            del fitted[column]
    while (excess := _width(fitted) - room) > 0:
        widest = max((each for each in fitted if each.kind in CROPPED), key=lambda each: fitted[each], default=None)
        if widest is None or fitted[widest] <= TEXT_MIN:
            break
        others = [fitted[each] for each in fitted if each.kind in CROPPED and each is not widest]
        fitted[widest] = max(TEXT_MIN, fitted[widest] - excess, min(fitted[widest] - 1, max(others, default=0)))
    return fitted


def _squeezed(widths: Mapping[Column, int], least: int) -> dict[Column, int]:
    return {column: min(width, least) if column.kind in CROPPED else width for column, width in widths.items()}


def _width(widths: Mapping[Column, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _line(cells: Sequence[tuple[Column, str, str]], widths: Mapping[Column, int]) -> Text:
    line = Text(no_wrap=True)
    for at, (column, text, style) in enumerate(cells):
        cell = Text(text, style=style)
        if cell_len(text) > widths[column]:
            cell.truncate(widths[column], overflow="ellipsis")
        padding = " " * (widths[column] - cell.cell_len)
        line.append(" " * GAP if at else "")
        line.append_text(Text.assemble(padding, cell) if column.kind in RIGHT else Text.assemble(cell, padding))
    line.rstrip()
    return line


def _style(column: Column, text: str) -> str:
    if text == NONE:
        return "dim"
    return STATE_STYLE.get(text, "") if column.kind == "state" else ""
