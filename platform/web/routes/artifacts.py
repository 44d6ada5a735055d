"""Results of steps: listed, described with their beginning, and as they are. They are never unpickled here."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from ...artifacts import previews
from ...artifacts.payloads import content_of
from ...errors import NotFound
from ...store.results import Found, ResultFilter
from ...wire.api.artifacts import ArtifactView, Collected
from ..accounts import end_charges
from ..answers import JsonAnswer
from ..openapi import answers, pages
from ..paging import ArtifactQuery
from ..requests import platform_of
from ..seams import Platform

router = APIRouter(tags=["artifacts"])
Rows = Annotated[int, Query(ge=0, le=1_000)]
MEDIA_TYPES: Final = {
    "arrow": "application/vnd.apache.arrow.file",
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
}
LARGEST: Final = 10
CODEC: Final = "Headwater-Codec"
_BYTES: Final = {"content": {"application/octet-stream": {}}, "description": "What the step gave back, as it is kept"}


@router.get("/v1/artifacts", responses=pages(ArtifactView))
async def list_artifacts(request: Request, asked: Annotated[ArtifactQuery, Query()]) -> Response:
    """The results that are too large for a row, newest first."""
    chosen = ResultFilter(run=asked.run, project=asked.project, step=asked.step)
    results = platform_of(request).queries.results
    return JsonAnswer(await asyncio.to_thread(results.page, chosen, after=asked.after, limit=asked.limit))


@router.post("/v1/artifacts/collect", responses=answers(Collected))
async def collect_artifacts(request: Request, dry_run: bool = False) -> Response:
    """Takes away what no kept run, model, code version or cache entry needs; with `dry_run` only says what that is."""
    platform = platform_of(request)
    collector, now_us = platform.collector(), platform.now_us()
    taken = await asyncio.to_thread(collector.free if dry_run else collector.collect, now_us)
    if not dry_run:
        await end_charges(platform)
    largest = tuple(each.digest for each in taken[:LARGEST])
    size_bytes = sum(each.size_bytes for each in taken)
    return JsonAnswer(Collected(dry_run=dry_run, count=len(taken), size_bytes=size_bytes, largest=largest))


@router.get("/v1/artifacts/{digest}", responses=answers(ArtifactView))
async def show_artifact(request: Request, digest: str, rows: Rows = 10) -> Response:
    """What an artifact is, which step made it, and its first rows."""
    platform = platform_of(request)
    return JsonAnswer(await asyncio.to_thread(_with_head, platform, _of_digest(platform, digest), rows))


@router.get("/v1/artifacts/{digest}/content", responses={200: _BYTES})
async def read_artifact(request: Request, digest: str) -> Response:
    """The artifact itself; a range of it by the header `Range`."""
    platform = platform_of(request)
    return await asyncio.to_thread(_content, platform, _of_digest(platform, digest))


@router.get("/v1/runs/{run_id}/steps/{ordinal}/result", responses=answers(ArtifactView))
async def show_result(request: Request, run_id: str, ordinal: int, rows: Rows = 10) -> Response:
    """The same of a step's accepted result, however small."""
    platform = platform_of(request)
    return JsonAnswer(await asyncio.to_thread(_with_head, platform, _of_step(platform, run_id, ordinal), rows))


@router.get("/v1/runs/{run_id}/steps/{ordinal}/result/content", responses={200: _BYTES})
async def read_result(request: Request, run_id: str, ordinal: int) -> Response:
    """The bytes of a step's result as they were written, small ones too; nothing is unpickled here."""
    platform = platform_of(request)
    return await asyncio.to_thread(_content, platform, _of_step(platform, run_id, ordinal))


def _of_digest(platform: Platform, digest: str) -> Found:
    found = platform.queries.results.of_digest(digest)
    if found is None:
        raise NotFound(f"There is no artifact '{digest[:80]}'", remedy="See `headwater artifacts list`.")
    return found


def _of_step(platform: Platform, run_id: str, ordinal: int) -> Found:
    found = platform.queries.results.of_step(run_id, ordinal)
    if found is None:
        what = f"Step {ordinal} of run '{run_id[:80]}' has no result"
        raise NotFound(what, remedy=f"See `headwater run show {run_id[:80]}`: has it ended well?")
    return found


def _with_head(platform: Platform, found: Found, rows: int) -> ArtifactView:
    payload = found.payload
    head = previews.head(payload.codec, payload.about, lambda: content_of(platform.files, payload), rows)
    return msgspec.structs.replace(found.view, head=head)


def _content(platform: Platform, found: Found) -> Response:
    payload = found.payload
    media_type = MEDIA_TYPES.get(payload.codec, "application/octet-stream")
    headers = {CODEC: payload.codec, "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
    if payload.digest is None:
        return Response(payload.inline or b"", media_type=media_type, headers=headers)
    return FileResponse(platform.files.path(payload.digest), media_type=media_type, headers=headers)
