"""config show|check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .listings import Column
from .options import AsJson
from .output import console, print_json, print_table

config = typer.Typer(no_args_is_help=True, help="Look at the settings, or check a file of them.")
File = Annotated[Path | None, typer.Option("--config", help="A file of settings; HEADWATER_CONFIG if not given.")]


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config", rich_help_panel="Platform")


@config.command("show")
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


@config.command("check")
def check_config(
    file: Annotated[Path | None, typer.Argument(help="A file of settings; HEADWATER_CONFIG if not given.")] = None,
) -> None:
    """Say whether the settings can be used, or which key is wrong and what was meant."""
    from ..config import load

    load(file)
    console().print(f"{file or 'The configuration'} can be used", markup=False)
