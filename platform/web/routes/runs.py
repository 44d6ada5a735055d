"""Runs: list, look, start, cancel, read their logs."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from ...errors import NotFound
from ...store.run_search import RunFilter
from ...wire.api.answer import Page
from ...wire.api.commands import CommandView
from ...wire.api.runs import CancelRun, RunDetail, RunSummary, Started, StartRun
from ...wire.api.steps import StepView
from ..answers import JsonAnswer, refusal
from ..openapi import answers, pages, takes
from ..paging import RunQuery, StepQuery
from ..requests import pending, place, platform_of, struct_of
from ..run_logs import Tail, followed, logs_of, missing, steps_of, text_of
from ..seams import Platform, Refused

router = APIRouter(prefix="/v1/runs", tags=["runs"])


@router.get("", responses=pages(RunSummary))
async def list_runs(request: Request, asked: Annotated[RunQuery, Query()]) -> Response:
    """Newest first. `since` and `until` are microseconds UTC; `after` is the `next` of the page before.

    `parameter` and `label` are NAME=VALUE and may be repeated; `error` gives words that are all in what the run
    failed of.
    """
    chosen = RunFilter(
        project=asked.project,
        flow=asked.flow,
        state=asked.state,
        since_us=asked.since,
        until_us=asked.until,
        parameters=tuple(asked.parameter),
        labels=tuple(asked.label),
        error=asked.error,
    )
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.runs, chosen, after=asked.after, limit=asked.limit))


@router.post("", status_code=201, responses=answers(Started, status=201), openapi_extra=takes(StartRun))
async def start_run(
    request: Request, idempotency_key: Annotated[str | None, Header(max_length=256)] = None
) -> Response:
    """Starts a run. The same key again answers with the same run. 202 where the Conductor needs longer."""
    asked = await struct_of(request, StartRun)
    key = idempotency_key or asked.key
    data = {"flow": asked.flow, "project": asked.project, "parameters": asked.parameters, "key": key}
    if asked.labels:
        data["labels"] = asked.labels
    command, answer = await place(request, "run.start", data, project=asked.project or "")
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer)
    return JsonAnswer(Started(run_id=answer.result["run_id"], command=command), 201)


@router.get("/{run_id}", responses=answers(RunDetail))
async def show_run(request: Request, run_id: str) -> Response:
    """One run with its steps, their attempts, why a step waits, how far it is, and how it failed.

    Of many steps it has the first 1,000; `/steps` has them all, page by page.
    """
    platform = platform_of(request)
    return JsonAnswer(platform.hub.latest.shown_in(await _run(platform, run_id)))


@router.get("/{run_id}/steps", responses=pages(StepView))
async def list_steps(request: Request, run_id: str, asked: Annotated[StepQuery, Query()]) -> Response:
    """The steps of a run in the order in which they were called; `step` narrows to those of one name."""
    platform = platform_of(request)
    await _run(platform, run_id)
    page = await asyncio.to_thread(
        platform.queries.steps, run_id, name=asked.step, after=asked.after, limit=asked.limit
    )
    return JsonAnswer(Page(items=list(platform.hub.latest.shown(page.items)), next=page.next))


@router.post("/{run_id}/cancel", responses=answers(CommandView), openapi_extra=takes(CancelRun))
async def cancel_run(request: Request, run_id: str) -> Response:
    """Ends a run: its steps are told, and killed after a grace. 409 where it has ended; the state is in the answer."""
    asked = await struct_of(request, CancelRun)
    run = await _run(platform_of(request), run_id)
    data = {"run_id": run_id, "reason": asked.reason}
    command, answer = await place(request, "run.cancel", data, project=run.project)
    if isinstance(answer, Refused):
        return refusal(answer)
    done = CommandView(id=command, state="done", result=answer.result if answer else None)
    return JsonAnswer(done) if answer else JsonAnswer(pending(command), 202)


@router.get("/{run_id}/logs", responses={200: {"content": {"text/plain": {}}, "description": "What the code wrote"}})
async def read_logs(request: Request, run_id: str, step: str | None = None, follow: bool = False) -> Response:
    """What the flow and its steps wrote, attempt by attempt; `step` narrows to the steps of one name.

    With `follow` they come as server-sent events while they are written: `log` with each new text, `end` after the
    run's end. Whoever resumes gets all of them again, each with its `offset` in its log.
    """
    platform = platform_of(request)
    run = await _run(platform, run_id)
    folder = platform.log_folder / run.id
    if not follow:
        steps = steps_of(platform.queries, run.id, step)
        found = text_of(logs_of(folder, steps, flow=step is None), missing(folder, run))
        return StreamingResponse(found, media_type="text/plain; charset=utf-8")
    tail = Tail(platform.queries, folder, run.id, step)
    news = followed(tail, platform.queries, platform.hub, run.id, heartbeat_s=platform.settings.heartbeat_s)
    return StreamingResponse(news, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _run(platform: Platform, run_id: str) -> RunDetail:
    run = await asyncio.to_thread(platform.queries.run, run_id)
    if run is None:
        raise NotFound(f"There is no run '{run_id[:80]}'", remedy="See `headwater runs`.")
    return run
