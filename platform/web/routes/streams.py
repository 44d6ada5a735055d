"""The log as server-sent events: of one run to its end, or of a project for as long as one listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from ...core.records.runs import RunState
from ...errors import InvalidInput, NotFound, did_you_mean
from ...store.scope import Scope
from ...wire.labels import labels_of
from ..answers import JsonAnswer
from ..asyncapi import document
from ..direct import KEY
from ..paging import WatchQuery
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
async def watch(request: Request, asked: Annotated[WatchQuery, Query()]) -> Response:
    """What is new, from now on or after `since`: everywhere, in a project, of a flow's runs. With `state` only the
    entries that say that a run came into one of these states, with `label` (NAME=VALUE) only those of runs that carry
    it; both may be repeated."""
    scope = Scope(
        project=asked.project,
        flow=asked.flow,
        types=tuple(map(type_of_state, asked.state)),
        labels=tuple(sorted(labels_of(asked.label).items())),
    )
    line = request.scope.get(KEY)
    return _answer(_streams(request).of_scope(scope, cursor_of(request, asked.since), line))


@router.get("/asyncapi.json", include_in_schema=False)
async def asyncapi(request: Request) -> Response:
    """What is published and pushed, as an AsyncAPI document."""
    return JsonAnswer(document(platform_of(request).settings.version))


def type_of_state(state: str) -> str:
    """The type of the entry that says that a run is in `state`; raises InvalidInput for what is no state."""
    if state not in RunState.__members__:
        raise InvalidInput(f"{state!r} is no state of a run", remedy=did_you_mean(state, RunState))
    return _SAID_AS.get(RunState(state)) or f"run.{state.lower()}"


_SAID_AS = {RunState.PENDING: "run.accepted", RunState.RUNNING: "run.started"}


def _streams(request: Request) -> Streams:
    platform = platform_of(request)
    return Streams(platform.queries, platform.hub, heartbeat_s=platform.settings.heartbeat_s)


def _answer(frames: AsyncIterator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)
