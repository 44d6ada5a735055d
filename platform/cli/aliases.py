"""alias."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import client, example
from .output import say


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Act", epilog=example("headwater alias delay champion 3"))(alias)


def alias(
    model: Annotated[str, typer.Argument(help="From `headwater models`.")],
    name: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion.")],
    version: Annotated[int, typer.Argument(min=1, help="The version that it stands for from now on.")],
) -> None:
    """Move an alias of a model to one of its versions; flows on `on.model(..., alias=...)` start."""
    with client() as hw:
        hw.models[model].alias(name, version)
    say(f"{model}@{name} is version {version}")
