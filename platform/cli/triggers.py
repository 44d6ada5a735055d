"""triggers: which there are, pausing them; explain: what became of an event."""

from __future__ import annotations

from typing import Annotated

import typer

from ..wire.api.triggers import Became, Explanation
from .forms import NONE, moment
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show
from .output import print_json, say

triggers = typer.Typer(no_args_is_help=True, help="Look at what starts flows, and pause it.")
TriggerId = Annotated[str, typer.Argument(metavar="ID", help="project/flow/name, from `headwater triggers list`.")]
STYLES = {"run": "green", "dead_letter": "bold red", "expired": "red", "no_match": "dim", "waiting": "yellow"}


def register(app: typer.Typer) -> None:
    app.add_typer(triggers, name="triggers", rich_help_panel="Look")
    app.command(rich_help_panel="Look", epilog=example("headwater explain landed-2013-10"))(explain)


@triggers.command("list", help=LISTINGS["triggers", "list"].help, epilog=example("headwater triggers list"))
def list_triggers(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(("triggers", "list"), {}, limit, as_json=as_json)


@triggers.command(epilog=example("headwater triggers pause eta/train/event:trips.landed"))
def pause(trigger: TriggerId) -> None:
    """Start nothing more by this trigger; what has begun goes on."""
    with client() as hw:
        hw.pause(trigger)
    say(f"{trigger} is paused. What happens meanwhile starts nothing: `headwater triggers resume {trigger}`")


@triggers.command(epilog=example("headwater triggers resume eta/train/event:trips.landed"))
def resume(trigger: TriggerId) -> None:
    """Start runs by this trigger again."""
    with client() as hw:
        hw.resume(trigger)
    say(f"{trigger} is active")


def explain(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id, as its publisher gave it.")],
    source: Annotated[str, typer.Option(help="The event's source, where several use the id.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say what became of an event, trigger by trigger."""
    with client() as hw:
        found = hw.explain(event_id, source=source or None)
    if as_json:
        print_json(found)
        return
    for one in found:
        _tell(one)


def _tell(event: Explanation) -> None:
    say(f"{event.type or NONE} {event.id}, of {event.source or NONE}", style="bold")
    place = f"{event.topic}, partition {event.partition}, offset {event.offset}" if event.topic else "the platform"
    say(f"received  {moment(event.received_us)} from {place}, by {event.principal}")
    if event.duplicates:
        say(f"again     {event.duplicates} times: duplicates, which started nothing")
    if not event.became:
        say("No trigger listens to it. `headwater events types` shows what flows listen to.")
    for became in event.became:
        say(f"{became.outcome:<12}{_about(became)}", style=STYLES.get(became.outcome, ""))


def _about(became: Became) -> str:
    said = (became.trigger, became.run_id, became.dead_letter and f"letter {became.dead_letter}", became.reason)
    return ": ".join(word for word in said if word)
