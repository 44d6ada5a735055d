"""status: where the platform is, and whether it is ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Unavailable
from ..sdk.client.address import find, home_folder
from .doctor import doctor
from .forms import moment
from .options import HOME, AsJson, client, example, use_home
from .output import print_json, say

if TYPE_CHECKING:
    from ..wire.api.status import Status


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Platform", epilog=example("headwater status"))(status)
    app.command(rich_help_panel="Platform", epilog=example("headwater doctor"))(doctor)


def status(home: Annotated[Path | None, HOME] = None, as_json: AsJson = False) -> None:
    """Show where the platform is and whether it is ready. Exits with 1 where it is not."""
    use_home(home)
    with client() as hw:
        try:
            found, ready = hw.status(), hw.ready()
        except Unavailable as error:
            raise _gone(error) from None
    if as_json:
        print_json({"status": found, "readiness": ready})
    else:
        say(f"Headwater {found.version} is {'ready' if ready.ready else 'not ready'}", style="bold")
        for name, text in _addresses(found):
            say(f"  {name:<11} {text}")
        for part, word in ready.parts.items():
            if word != "ok":
                say(f"  {part} {word}", style="red")
    if not ready.ready:
        raise typer.Exit(1)


def _gone(error: Unavailable) -> Unavailable:
    """A home whose platform was killed still names an address: say that, and how to go on."""
    home = home_folder()
    if home is None:
        return error
    return Unavailable(f"{error.what}; the state is kept in {home}", remedy=error.remedy)


def _addresses(found: Status) -> list[tuple[str, Any]]:
    return [
        ("API", f"{find().url}  (docs at /docs)"),
        ("inference", f"{found.inference_url}/v2"),
        ("Kafka", found.bootstrap),
        ("home", found.home),
        ("log", f"{found.position:,} entries, {found.relayed:,} in Kafka"),
        ("since", moment(found.started_us) if found.started_us else "-"),
    ]
