"""flows, models, deployments, tables, actors, quota."""

from __future__ import annotations

import typer

from ..errors import HeadwaterError
from .listings import LISTINGS, Column
from .options import DEFAULT_LIMIT, AsJson, Limit, client, show
from .output import console, print_json, print_table

PLAIN = ("flows", "models", "deployments", "tables", "actors")


def register(app: typer.Typer) -> None:
    for noun in PLAIN:
        app.command(noun, help=LISTINGS[(noun,)].help, rich_help_panel="Look")(_listing(noun))
    app.command(rich_help_panel="Look")(quota)


def _listing(noun: str):  # type: ignore[no-untyped-def]  # typer reads the signature of what comes back
    def command(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
        show((noun,), {}, limit, as_json=as_json)

    return command


def quota(
    apply: str = typer.Option("", "--apply", metavar="FILE", help="Replace the tree by the one in a TOML file."),
    as_json: AsJson = False,
) -> None:
    """Show the quota tree: what each project is guaranteed, what it holds, and why steps wait."""
    with client() as hw:
        if apply:
            _apply(hw, apply)
        found = hw.quota()
    if as_json:
        print_json(found)
        return
    console().print(f"Quota tree, version {found.version}, by {found.principal}", style="bold")
    print_json(found.tree)
    held = [{"project": each.project, "gpus": each.gpus_milli / 1000, "devices": each.devices} for each in found.held]
    print_table(HELD, held, empty="No project holds a device.")
    waiting = [
        {"step": each.name, "run": each.run_id, "project": each.project, "reason": each.reason}
        for each in found.waiting
    ]
    print_table(WAITING, waiting, empty="No step waits.")


HELD = (Column("project", "project"), Column("gpus held", "gpus", "number"), Column("devices", "devices", "names"))
WAITING = (
    Column("waiting step", "step"), Column("run", "run", "id"), Column("project", "project"), Column("why", "reason"),
)  # fmt: skip


def _apply(hw, path: str) -> None:  # type: ignore[no-untyped-def]
    import tomllib
    from pathlib import Path

    try:
        tree = tomllib.loads(Path(path).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise HeadwaterError(
            f"{path} cannot be read: {error}", remedy="Give a TOML file with a [quota] section."
        ) from None
    hw.order("quota.apply", tree.get("quota", tree))
