"""flows, models, deployments, tables, actors."""

from __future__ import annotations

from collections.abc import Callable

import typer

from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, example, show

PLAIN = ("flows", "models", "deployments", "tables", "actors")


def register(app: typer.Typer) -> None:
    for noun in PLAIN:
        epilog = example(f"headwater {noun}", f"headwater {noun} --json")
        app.command(noun, help=LISTINGS[(noun,)].help, rich_help_panel="Look", epilog=epilog)(_listing(noun))


def _listing(noun: str) -> Callable[[int, bool], None]:
    def command(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
        show((noun,), {}, limit, as_json=as_json)

    return command
