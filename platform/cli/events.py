"""publish, events types|gaps|resume."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ..errors import InvalidInput
from .fetch import items
from .listings import LISTINGS
from .options import DEFAULT_LIMIT, AsJson, Limit, client, example, show
from .output import print_json, print_table, say

TYPES, GAPS = ("events", "types"), ("events", "gaps")
PLAINEST: Final = {"integer": 1, "number": 1.0, "string": "text", "boolean": True, "array": [], "object": {}}
SHOWN_MAX = 20

events = typer.Typer(no_args_is_help=True, help="Look at events.")


def register(app: typer.Typer) -> None:
    epilog = example("""headwater publish flights.landed --data '{"rounds": 60}'""")
    app.command(rich_help_panel="Act", epilog=epilog)(publish)
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
    """Publish an event; every flow that listens for its type runs."""
    body = _data(data, file)
    with client() as hw:
        accepted = hw.publish(event_type, body, id=event_id or None, source=source, subject=subject or None)
    if as_json:
        print_json({"id": accepted, "source": source})
    else:
        say(f"Published {event_type}, id {accepted}")


@events.command("types", help=LISTINGS[TYPES].help, epilog=example("headwater events types"))
def types(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    listing = LISTINGS[TYPES]
    found = items(listing, {}, limit=limit)
    if as_json:
        print_json(found)
        return
    if any(row["example"] is None for row in found):
        schemas = {f"{flow['project']}/{flow['name']}": flow["parameters"] for flow in items(LISTINGS["flows",], {})}
        found = [{**row, "example": row["example"] or _taken(row["flows"], schemas)} for row in found]
    print_table(listing.columns, found, empty=listing.empty)


@events.command("gaps", help=LISTINGS[GAPS].help, epilog=example("headwater events gaps"))
def gaps(limit: Limit = DEFAULT_LIMIT, as_json: AsJson = False) -> None:
    show(GAPS, {}, limit, as_json=as_json)


@events.command("resume", epilog=example("headwater events resume headwater.events --partition 2 --skip"))
def resume(
    topic: Annotated[str, typer.Argument(help="The topic, from `headwater events gaps`.")],
    skip: Annotated[bool, typer.Option("--skip", help="Go on at the earliest record that is kept.")] = False,
    offset: Annotated[int | None, typer.Option("--from", min=0, help="Go on at this offset.")] = None,
    partition: Annotated[int | None, typer.Option(help="One partition; otherwise all that stand still.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have partitions that stand still go on. What is passed over is given up; the log says who said so."""
    if skip == (offset is not None):
        raise InvalidInput("It is not said where to go on", remedy="Give either --skip or --from OFFSET.")
    with client() as hw:
        done = hw.order("events.resume", {"topic": topic, "partition": partition, "offset": offset})
    if as_json:
        print_json(done)
        return
    if not isinstance(done.result, dict):
        say(f"Asked for as {done.id}; its reader has not answered yet. `headwater events gaps` shows how it went.")
        return
    where = "the earliest record" if offset is None else f"offset {offset}"
    for each in done.result["resumed"]:
        say(f"{topic}, partition {each['partition']}: goes on at {where}; it stood at {each['stood_at']}")


@events.command("replay", epilog=example("headwater events replay eta/train --type trips.landed --since 2026-11-01"))
def replay(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="The flow that gets them, as project/flow.")],
    event_type: Annotated[str, typer.Option("--type", help="Events of this type.")] = "",
    since: Annotated[datetime | None, typer.Option(help="That came at this time (UTC) or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="That came before this time (UTC).")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="These events instead; may be repeated.")] = None,
    replay_id: Annotated[str, typer.Option("--replay", help="The replay's id; the same id starts no run twice.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and do nothing.")] = False,
) -> None:
    """Give kept events to one flow again."""
    if bool(event_type) == bool(ids):
        raise InvalidInput("Choose events by --type or by --id", remedy="One of the two, please.")
    chosen = {"type": event_type, "ids": tuple(ids or ()), "since": _us(since), "until": _us(until)}
    name = replay_id or str(uuid.uuid4())
    with client() as hw:
        done = hw.replay_events(flow, name, dry_run=dry_run, **chosen)
    started = sum(one.outcome == "run" for one in done.became)
    said = f"{done.count:,} events" if dry_run else f"{started:,} runs of {done.count:,} events, by replay {name}"
    say(said)
    for one in [one for one in done.became if one.outcome != "run"][:SHOWN_MAX]:
        say(f"no run: {one.reason}", style="yellow")


def _us(time: datetime | None) -> int | None:
    return None if time is None else int(time.replace(tzinfo=UTC).timestamp() * 1_000_000)


def _taken(flows: list[str], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Data that each of the flows takes, where none was seen yet."""
    return {name: value for flow in flows for name, value in sample(schemas.get(flow, {})).items()}


def sample(schema: Mapping[str, Any]) -> Any:
    """A value that fits a JSON Schema: its example, its default, or the plainest of its type."""
    for known in ("example", "default", "const"):
        if known in schema:
            return schema[known]
    for several in ("examples", "enum", "anyOf", "oneOf"):
        if schema.get(several):
            first = schema[several][0]
            return sample(first) if several.endswith("Of") else first
    if "properties" in schema:
        return {name: sample(each) for name, each in schema["properties"].items()}
    return PLAINEST.get(str(schema.get("type")))


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
