"""publish, events types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, show
from .output import console, print_json

events = typer.Typer(no_args_is_help=True, help="Look at events.")


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Act")(publish)
    app.add_typer(events, name="events", rich_help_panel="Look")


def publish(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="The event's type, such as flights.landed.")],
    data: Annotated[str, typer.Option(help="The data, as JSON.", metavar="JSON")] = "",
    file: Annotated[Path | None, typer.Option(help="A file with the data, as JSON.")] = None,
    event_id: Annotated[str, typer.Option("--id", help="The event's id; the same id twice is one event.")] = "",
    source: Annotated[str, typer.Option(help="Who publishes it.")] = "/headwater/cli",
    subject: Annotated[str, typer.Option(help="What it is about.")] = "",
    as_json: AsJson = False,
) -> None:
    """Publish an event; every flow that listens for its type runs.

    Example: headwater publish flights.landed --data '{"month": 10}'
    """
    body = _data(data, file)
    with client() as hw:
        accepted = hw.publish(event_type, body, id=event_id or None, source=source, subject=subject or None)
    if as_json:
        print_json({"id": accepted, "source": source})
    else:
        console().print(f"Published {event_type}, id {accepted}", markup=False)


@events.command("types", help=LISTINGS["events", "types"].help)
def types(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(("events", "types"), {}, limit, as_json=as_json)


def _data(text: str, file: Path | None) -> Any:
    if text and file is not None:
        raise InvalidInput("The data is given twice, by --data and --file", remedy="Give one of them.")
    try:
        given = file.read_text() if file is not None else text
        return json.loads(given) if given else None
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", remedy="Check the path.") from None
    except ValueError as error:
        raise InvalidInput(f"The data is not JSON: {error}", remedy="""Quote it: --data '{"month": 10}'.""") from None
