"""The commands, one module per noun, put together."""

from __future__ import annotations

import typer

from . import (
    aliases,
    artifacts,
    config_file,
    deploys,
    events,
    health,
    inventory,
    letters,
    life,
    nodes,
    predict,
    quotas,
    runs,
    serving,
    triggers,
    watch,
)

app = typer.Typer(
    name="headwater",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Publish an event and a flow runs: it streams a table, trains, registers a model and serves it.\n\n"
        "Begin with [bold]headwater up[/bold], then [bold]headwater deploy FOLDER[/bold] and "
        "[bold]headwater publish TYPE[/bold]; [bold]headwater watch[/bold] shows what happens. The platform is that "
        "of the current folder (.headwater), or the one in HEADWATER_URL and HEADWATER_TOKEN."
    ),
)

for noun in (
    life,
    health,
    deploys,
    events,
    runs,
    watch,
    inventory,
    nodes,
    quotas,
    artifacts,
    predict,
    serving,
    aliases,
    letters,
    triggers,
    config_file,
):
    noun.register(app)
