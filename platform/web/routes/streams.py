"""The log as server-sent events: of one run to its end, or of a project for as long as one listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from ...errors import NotFound
from ..requests import cursor_of, platform_of
from ..sse import Streams

router = APIRouter(tags=["streams"])
_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}


@router.get("/v1/runs/{run_id}/events", responses=_DOCS)
async def watch_run(request: Request, run_id: str, since: str | None = None) -> Response:
    """Every entry of a run, then `end`. Resume with `Last-Event-ID` (or `since=`): no gap, no repeat."""
    queries = platform_of(request).queries
    if await asyncio.to_thread(queries.run_project, run_id) is None:
        raise NotFound(f"There is no run '{run_id[:80]}'", remedy="See `headwater runs`.")
    return _answer(_streams(request).of_run(run_id, cursor_of(request, since)))


@router.get("/v1/watch", responses=_DOCS)
async def watch_project(request: Request, project: str | None = None, since: str | None = None) -> Response:
    """What is new in a project, or everywhere: from now on, or after `since`."""
    return _answer(_streams(request).of_project(project, cursor_of(request, since)))


def _streams(request: Request) -> Streams:
    platform = platform_of(request)
    return Streams(platform.queries, platform.hub, heartbeat_s=platform.settings.heartbeat_s)


def _answer(frames: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)
