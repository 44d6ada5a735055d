"""How the platform is: health without a token; actors, metrics of flows and addresses with one."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import HeadwaterError
from ...wire.api.answer import Page
from ...wire.api.status import ActorView, FlowMetrics, Readiness, Status
from ..answers import JsonAnswer
from ..metrics import exposition
from ..openapi import answers, pages
from ..requests import platform_of

router = APIRouter(tags=["health"])
READY_TIMEOUT_S = 5.0


@router.get("/livez", responses={200: {"description": "The API answers"}})
async def live() -> Response:
    """200 as long as the API answers at all; `/readyz` says whether it can do its work."""
    return JsonAnswer({"live": True})


@router.get("/readyz", responses=answers(Readiness))
async def ready(request: Request) -> Response:
    """200 once store and owners answer, 503 with what is wrong until then. Serve is not among them."""
    platform = platform_of(request)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await asyncio.to_thread(platform.queries.head)
            parts = {"store": "ok", **await platform.owners.ready()}
    except TimeoutError:
        parts = {"owners": f"did not answer within {READY_TIMEOUT_S:g} s"}
    except HeadwaterError as error:
        parts = {"owners": str(error)}
    is_ready = all(word == "ok" for word in parts.values())
    return JsonAnswer(Readiness(ready=is_ready, parts=parts), 200 if is_ready else 503)


@router.get("/metrics", responses={200: {"description": "Prometheus text", "content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Counts and states for Prometheus, as text."""
    text = await asyncio.to_thread(exposition, platform_of(request), request.app.state.requests)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/status", responses=answers(Status))
async def status(request: Request) -> Response:
    """Where the platform is: its version, home folder and addresses, and how far its log and the relay are."""
    platform = platform_of(request)
    settings, head = platform.settings, await asyncio.to_thread(platform.queries.head)
    found = Status(
        version=settings.version,
        home=str(settings.home),
        inference_url=settings.inference_url,
        bootstrap=settings.bootstrap,
        store_epoch=head.store_epoch,
        position=head.position,
        relayed=await asyncio.to_thread(platform.queries.relayed),
        started_us=settings.started_us,
    )
    return JsonAnswer(found)


@router.get("/v1/actors", responses=pages(ActorView))
async def list_actors(request: Request) -> Response:
    """Each actor with its mailbox, last event, restarts and memory."""
    return JsonAnswer(Page(items=await platform_of(request).owners.describe()))


@router.get("/v1/metrics/flows", responses=pages(FlowMetrics))
async def flow_metrics(request: Request) -> Response:
    """Runs by flow and minute, from the views: rebuildable, and at least once."""
    return JsonAnswer(Page(items=await platform_of(request).owners.flow_metrics()))
