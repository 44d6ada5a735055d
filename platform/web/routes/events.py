"""Events in: CloudEvents over HTTP, durable in the broker before the answer."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...events.bus import Message
from ...wire import envelope
from ...wire.api.answer import Page, Problem
from ...wire.api.events import Accepted, EventType, GapView
from ...wire.topics import EVENTS
from ...wire.voucher import voucher
from ..answers import JsonAnswer, failure
from ..openapi import answers, pages, takes_bytes
from ..requests import body_of, platform_of, principal_of

router = APIRouter(prefix="/v1/events", tags=["events"])

STATUS: Final = {envelope.Reason.TOO_LARGE: 413, envelope.Reason.UNSUPPORTED_CONTENT_TYPE: 415}
_BODY = takes_bytes(envelope.STRUCTURED_JSON, envelope.BATCH_JSON, "application/json")


@router.post("", status_code=202, responses=answers(Accepted, status=202), openapi_extra=_BODY)
async def publish(request: Request) -> Response:
    """Takes one CloudEvent (structured, or binary with `ce-` headers) or a batch: all of it or nothing."""
    platform = platform_of(request)
    body = await body_of(request, at_most=platform.settings.event_max_bytes)
    headers = [(name.decode("latin-1"), text.decode("latin-1")) for name, text in request.headers.raw]
    events: list[envelope.Event] = []
    for index, parsed in enumerate(envelope.parse_http(body, headers)):
        if isinstance(parsed, envelope.Rejected):
            return _rejection(parsed, index)
        events.append(parsed)
    sender = principal_of(request)
    await platform.producer.send_many([_message(event, sender, platform.settings.secret) for event in events])
    return JsonAnswer(Accepted(ids=tuple(event.id for event in events)), 202)


@router.get("/types", responses=pages(EventType))
async def list_types(request: Request) -> Response:
    """Every event type seen or listened for: who publishes it, which flows listen, an example."""
    found = await asyncio.to_thread(platform_of(request).queries.event_types)
    return JsonAnswer(Page(items=found))


@router.get("/gaps", responses=pages(GapView))
async def list_gaps(request: Request) -> Response:
    """The partitions that stand still because records are gone; the order `events.resume` has them go on."""
    found = await asyncio.to_thread(platform_of(request).queries.gaps)
    return JsonAnswer(Page(items=found))


def _message(event: envelope.Event, sender: str, secret: bytes) -> Message:
    value, headers = envelope.encode_structured(event)
    proved = (*headers, *voucher(secret, sender, event))
    return Message(EVENTS.name, (event.subject or event.id).encode(), value, proved)


def _rejection(rejected: envelope.Rejected, index: int) -> Response:
    problem = Problem(code=rejected.reason.value, message=rejected.sentence, index=index)
    return failure(STATUS.get(rejected.reason, 400), problem)
