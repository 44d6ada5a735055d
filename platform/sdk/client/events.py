"""Events on their way in, and those that were put aside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ...wire.api.events import Accepted, DeadLetterDetail, DeadLetterSummary, EventType
from ...wire.terms import JSON
from .call import Call, Program, ask, get, in_json, listing
from .ids import new_id

SOURCE: Final = "/headwater/client"


def event_of(event_type: str, data: JSON, attributes: Mapping[str, str | None]) -> dict[str, JSON]:
    """A CloudEvent with an id and a source, made here where the caller gave none."""
    given = {name: text for name, text in attributes.items() if text is not None}
    ours = {"id": new_id(), "source": SOURCE, "datacontenttype": "application/json"}
    return {**ours, **given, "type": event_type, "data": data}


def publish(event: dict[str, JSON]) -> Program[str]:
    """Publishes one CloudEvent; gives back its id once it is durable."""
    present = {name: value for name, value in event.items() if value is not None}
    body = in_json({"specversion": "1.0", **present}, place=f"The event {event.get('type')!r}")
    headers = {"Content-Type": "application/cloudevents+json"}
    accepted: Accepted = yield from ask(Call("POST", "/v1/events", headers, body), Accepted)
    return accepted.ids[0]


def event_types() -> Program[list[EventType]]:
    return listing("/v1/events/types", EventType)


def dead_letters() -> Program[list[DeadLetterSummary]]:
    return listing("/v1/dlq", DeadLetterSummary)


def dead_letter(letter_id: str) -> Program[DeadLetterDetail]:
    return get(f"/v1/dlq/{quote(letter_id, safe='')}", DeadLetterDetail)
