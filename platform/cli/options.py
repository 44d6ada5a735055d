"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import InvalidInput
from .fetch import LIMIT, items
from .listings import LISTINGS
from .output import print_json, print_table, say

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
HOME = typer.Option(help="The home folder; .headwater if not given.", show_default=False)
DEFAULT_LIMIT = LIMIT
ID_LENGTH = 36
IDS_SEARCHED = 10_000
IDS_NAMED = 3


def show(words: tuple[str, ...], filters: Mapping[str, str], limit: int, *, as_json: bool) -> None:
    """Prints a listing of the table."""
    listing = LISTINGS[words]
    found = items(listing, {name: text for name, text in filters.items() if text}, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(listing.columns, found, empty=listing.empty)
    if len(found) == limit and sys.stdout.isatty():
        say(f"These are the first {limit:,}; --limit shows more.", style="dim")


def example(*commands: str) -> str:
    """The epilog of a command's help: what to type."""
    return "\n\n".join(["Example:", *(f"  [cyan]{escape(command)}[/cyan]" for command in commands)])


def whole_id(words: tuple[str, ...], given: str) -> str:
    """The id that begins or ends with what was given; what was given, where there is none.

    Raises InvalidInput where several do: ids begin with the time, so the last characters tell them apart.
    """
    if len(given) >= ID_LENGTH or not given:
        return given
    known = [str(item["id"]) for item in items(LISTINGS[words], {}, limit=IDS_SEARCHED)]
    found = [each for each in known if each.endswith(given)] or [each for each in known if each.startswith(given)]
    if given in known or not found:
        return given
    if len(found) > 1:
        some = ", ".join(found[:IDS_NAMED]) + (", …" if len(found) > IDS_NAMED else "")
        raise InvalidInput(f"{given!r} may be {len(found)} ids: {some}", remedy="Give more of its last characters.")
    return found[0]


def use_home(home: Path | None) -> None:
    """From here on this process speaks to the platform of `home`."""
    if home is not None:
        os.environ["HEADWATER_HOME"] = str(home.absolute())


def client() -> Any:
    from ..sdk import Client

    return Client()
