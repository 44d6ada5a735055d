"""up, down, demo: the platform's own life; the work is done in `local/` and `demo.py`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import HOME, example

CONFIG = typer.Option("--config", help="A file of settings.", show_default=False)
GPUS = typer.Option(min=0, help="Logical GPUs to lend to steps.", show_default=False)
PORT = typer.Option(min=0, max=65_535, help="Of the API; 0 takes a free one.", show_default=False)
SERVE_PORT = typer.Option(min=0, max=65_535, help="Of inference; 0 takes a free one.", show_default=False)


def register(app: typer.Typer) -> None:
    for command, shown in (
        (up, "headwater up --gpus 2 --detach"),
        (down, "headwater down --home /data/headwater"),
        (demo, "headwater demo --keep"),
    ):
        app.command(rich_help_panel="Platform", epilog=example(shown))(command)


def up(
    home: Annotated[Path | None, HOME] = None,
    config: Annotated[Path | None, CONFIG] = None,
    gpus: Annotated[int | None, GPUS] = None,
    port: Annotated[int | None, PORT] = None,
    serve_port: Annotated[int | None, SERVE_PORT] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
) -> None:
    """Start the platform; Ctrl-C stops it in order. State stays in the home folder."""
    flags = {"home": home, "config": config, "gpus": gpus, "port": port, "serve_port": serve_port, "detach": detach}
    _hand_over("..local.up", flags)


def down(home: Annotated[Path | None, HOME] = None) -> None:
    """Stop the platform of a home folder, in order. State stays."""
    _hand_over("..local.down", {"home": home})


def demo(
    home: Annotated[Path | None, HOME] = None,
    port: Annotated[int | None, PORT] = None,
    serve_port: Annotated[int | None, SERVE_PORT] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform running.")] = False,
) -> None:
    """Run the main job on real flights, from an event to a prediction, with its state live in the terminal."""
    _hand_over(".demo", {"home": home, "keep": keep, "port": port, "serve_port": serve_port})


def _hand_over(module: str, flags: dict[str, Any]) -> None:
    main = importlib.import_module(module, __package__).main
    code = main(**flags)
    raise typer.Exit(code or 0)
