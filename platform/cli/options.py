"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .fetch import LIMIT, items
from .listings import LISTINGS
from .output import print_json, print_table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")]
HOME = typer.Option(help="The home folder; .headwater if not given.", show_default=False)
DEFAULT_LIMIT = LIMIT


def show(words: tuple[str, ...], filters: Mapping[str, str], limit: int, *, as_json: bool) -> None:
    """Prints a listing of the table."""
    listing = LISTINGS[words]
    found = items(listing, {name: text for name, text in filters.items() if text}, limit=limit)
    if as_json:
        print_json(found)
    else:
        print_table(listing.columns, found, empty=f"There are no {' '.join(words).removesuffix(' list')} yet.")


def use_home(home: Path | None) -> None:
    """From here on this process speaks to the platform of `home`."""
    if home is not None:
        os.environ["HEADWATER_HOME"] = str(home.absolute())


def client() -> Any:
    from ..sdk.client import Client

    return Client()
