"""deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, client, example
from .output import print_json, say


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Act", epilog=example("headwater deploy examples/flights"))(deploy)


def deploy(
    path: Annotated[Path, typer.Argument(help="A folder with flows, or one Python file.")], as_json: AsJson = False
) -> None:
    """Deploy the flows of a folder: what git would not ignore is packed, imported once, and in use from then on."""
    with client() as hw:
        deployed = hw.deploy(path)
    if as_json:
        print_json(deployed)
        return
    say(f"Deployed {path} as {deployed.code_version[:12]}")
    for flow in deployed.flows:
        say(f"  {flow}")
