"""Triggers: which there are, pausing them, and what became of an event."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...core.replays import replays_in
from ...errors import NotFound
from ...wire.api.answer import Page
from ...wire.api.commands import CommandView
from ...wire.api.triggers import Explanation, Replayed, ReplayEvents, SetTrigger, TriggerDetail
from ..answers import JsonAnswer, refusal
from ..openapi import answers, pages, takes
from ..requests import paced, pending, place, platform_of, struct_of
from ..seams import Refused

router = APIRouter(prefix="/v1", tags=["triggers"])


@router.get("/triggers", responses=pages(TriggerDetail))
async def list_triggers(request: Request) -> Response:
    """Every trigger of every flow: active or paused, when a cron comes next, how many runs wait for more events."""
    return JsonAnswer(Page(items=await asyncio.to_thread(platform_of(request).queries.triggers)))


@router.post("/triggers/pause", responses=answers(CommandView), openapi_extra=takes(SetTrigger))
async def pause_trigger(request: Request) -> Response:
    """What happens from now on starts nothing; what has begun or waits with others goes on."""
    return await _set(request, "trigger.pause")


@router.post("/triggers/resume", responses=answers(CommandView), openapi_extra=takes(SetTrigger))
async def resume_trigger(request: Request) -> Response:
    """What happens from now on starts runs again."""
    return await _set(request, "trigger.resume")


@router.get("/events/explain", responses=pages(Explanation))
async def explain_event(
    request: Request,
    event_id: Annotated[str, Query(alias="id", max_length=4_096)],
    source: Annotated[str | None, Query(max_length=4_096)] = None,
) -> Response:
    """What became of the events of that id: of one source, or of any."""
    found = await asyncio.to_thread(platform_of(request).queries.explain, event_id, source)
    if not found:
        remedy = "It may be on its way, be another's id, or be older than what is kept; GET /v1/dlq has the rest."
        raise NotFound(f"No event {event_id[:80]!r} was taken in", remedy=remedy)
    return JsonAnswer(Page(items=found))


@router.post("/events/replay", responses=answers(Replayed), openapi_extra=takes(ReplayEvents))
async def replay_events(request: Request) -> Response:
    """Gives a page of kept events to one flow again; `dry_run` says how many there are."""
    asked = await struct_of(request, ReplayEvents)
    data = msgspec.to_builtins(asked)
    await paced(request, replays_in("event.replay", data))
    command, answer = await place(request, "event.replay", data)
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer)
    return JsonAnswer(msgspec.convert(answer.result, Replayed))


async def _set(request: Request, kind: str) -> Response:
    asked = await struct_of(request, SetTrigger)
    command, answer = await place(request, kind, {"trigger": asked.trigger})
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer)
    return JsonAnswer(CommandView(id=command, state="done", result=answer.result))
