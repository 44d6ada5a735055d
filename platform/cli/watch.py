"""watch: a run as a live tree on a terminal, the log line by line elsewhere."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ..wire.labels import labels_of
from .options import AsJson, client, example, whole_id
from .output import console

RUN_HELP = "A run, or the last characters of its id; without one, everything new."
REFRESHES_PER_S = 8
PROGRESS_EVERY_US = 2_000_000


def register(app: typer.Typer) -> None:
    epilog = example("headwater watch", "headwater watch 22bf82", "headwater watch --project eta --json")
    app.command(rich_help_panel="Look", epilog=epilog)(watch)


def watch(
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help=RUN_HELP)] = "",
    project: Annotated[str, typer.Option(help="Everything new in this project.")] = "",
    label: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="Only of runs that carry it.")] = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Watch a run until it ends, or a project for as long as you like (Ctrl-C stops).

    Exits with 1 where the run did not succeed.
    """
    run_id = whole_id(("runs",), run_id)
    with client() as hw:
        told = hw.runs[run_id].follow() if run_id else hw.follow(project or None, labels=labels_of(label))
        if as_json:
            _print_json(told)
        elif run_id and sys.stdout.isatty():
            _show_tree(told)
        else:
            _print_lines(told)
        if run_id and hw.runs[run_id].state != "SUCCEEDED":
            raise typer.Exit(1)


def _show_tree(told: Any) -> None:
    from rich.live import Live

    from .run_tree import RunTree

    tree = RunTree()
    with Live(tree, console=console(), refresh_per_second=REFRESHES_PER_S) as live:
        for each in told:
            tree.hear(each)
        live.refresh()


def _print_lines(told: Any) -> None:
    from ..wire.calls import Progress
    from .run_tree import line_of

    shown_us: dict[str, int] = {}
    for each in told:
        if isinstance(each, Progress):
            if each.time_us - shown_us.get(each.step_id, 0) < PROGRESS_EVERY_US:
                continue
            shown_us[each.step_id] = each.time_us
        if line := line_of(each):
            print(line, flush=True)


def _print_json(told: Any) -> None:
    import msgspec

    for each in told:
        print(msgspec.json.encode(each).decode(), flush=True)
