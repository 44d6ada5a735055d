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
    path: Annotated[Path, typer.Argument(help="A folder with flows, or one Python file.")],
    check: Annotated[bool, typer.Option("--check", help="Only look whether it could be; needs no platform.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deploy the flows of a folder: what git would not ignore is packed, imported once, and in use from then on."""
    if check:
        _check(path, as_json=as_json)
        return
    with client() as hw:
        deployed = hw.deploy(path)
    if as_json:
        print_json(deployed)
        return
    say(f"Deployed {path} as {deployed.code_version[:12]}")
    for flow in deployed.flows:
        say(f"  {flow}")


def _check(path: Path, *, as_json: bool) -> None:
    """Imports the code in a fresh process and says what it declares. Raises Problem with file and line."""
    from ..sdk.deploying.bundle import bundle_of, code_version
    from ..sdk.deploying.manifest import manifest_of

    found = manifest_of(path)
    if as_json:
        print_json(found)
        return
    say(f"{path} can be deployed, as {code_version(bundle_of(path))[:12]}")
    for flow in found.flows:
        listens = ", ".join(trigger.name for trigger in flow.triggers) or "nothing; it is called"
        say(f"  {flow.project}/{flow.name} ({flow.file}:{flow.line}) listens to {listens}")
    say(f"  steps: {', '.join(step.name for step in found.steps) or 'none'}")
