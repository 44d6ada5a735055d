"""config show|check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .listings import Column
from .options import AsJson, example
from .output import print_json, print_table, say

config = typer.Typer(no_args_is_help=True, help="Look at the settings, or check a file of them.")
File = Annotated[Path | None, typer.Option("--config", help="A file of settings; HEADWATER_CONFIG if not given.")]


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config", rich_help_panel="Platform")


@config.command("show", epilog=example("headwater config show --origins"))
def show_config(
    file: File = None,
    origins: Annotated[bool, typer.Option("--origins", help="Say where each value came from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting as `headwater up` would see it."""
    from ..config import load

    settings = load(file)
    came_from = settings.origins()
    rows = [
        {"setting": key, "value": str(value)} | ({"origin": came_from.get(key, "default")} if origins else {})
        for key, value in settings.flat().items()
    ]
    if as_json:
        print_json(rows)
        return
    columns = [Column(name, name) for name in ("setting", "value", *(["origin"] if origins else []))]
    print_table(columns, rows, empty="")


@config.command("check", epilog=example("headwater config check my.toml"))
def check_config(
    file: Annotated[Path | None, typer.Argument(help="A file of settings; HEADWATER_CONFIG if not given.")] = None,
) -> None:
    """Say whether the settings can be used, or which key is wrong and what was meant."""
    from ..config import load

    load(file)
    say(f"{file or 'The configuration'} can be used")
