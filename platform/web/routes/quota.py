"""Quota: the tree, why a step waits, what would happen if, and what each project used."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...errors import InvalidInput, NotFound
from ...wire.api.holdings import QuotaView
from ...wire.api.quota import Simulate, Simulated, StepExplained, UsageView
from ..answers import JsonAnswer
from ..openapi import answers, takes
from ..requests import platform_of, struct_of

router = APIRouter(prefix="/v1", tags=["quota"])
DAY_S = 86_400


@router.get("/quota", responses=answers(QuotaView))
async def show_quota(request: Request) -> Response:
    """The quota tree, what is held under it, and why steps wait."""
    found = await asyncio.to_thread(platform_of(request).queries.quota)
    if found is None:
        raise NotFound("There is no quota tree yet", remedy="The Scheduler makes it when it starts.")
    return JsonAnswer(found)


@router.get("/quota/explain/{step_id:path}", responses=answers(StepExplained))
async def explain_step(request: Request, step_id: str) -> Response:
    """Why a step waits: which quota or place is short and by how much, who is ahead, what is kept for it, and when."""
    found = await platform_of(request).owners.explain_step(step_id)
    if found is None:
        remedy = "It may have begun, or be over: see `headwater run show RUN`; `headwater quota` lists those that wait."
        raise NotFound(f"No step {step_id[:120]!r} waits", remedy=remedy)
    return JsonAnswer(found)


@router.post("/quota/simulate", responses=answers(Simulated), openapi_extra=takes(Simulate))
async def simulate_quota(request: Request) -> Response:
    """What a scenario would lead to now: who would start, end or wait. Nothing is changed."""
    asked = await struct_of(request, Simulate)
    if not isinstance(asked.scenario, dict):
        raise InvalidInput("The scenario is no object", remedy="Send the keys of a scenario; docs/quota.md has them.")
    return JsonAnswer(await platform_of(request).owners.simulate_quota(asked.scenario))


@router.get("/quota/usage", responses=answers(UsageView))
async def show_usage(
    request: Request,
    from_us: Annotated[int | None, Query(alias="from", ge=0, description="Microseconds UTC; a day ago.")] = None,
    to_us: Annotated[int | None, Query(alias="to", ge=0, description="Microseconds UTC; now.")] = None,
    bucket_s: Annotated[int | None, Query(alias="bucket", ge=1, description="Seconds; the whole stretch.")] = None,
    project: Annotated[str | None, Query(max_length=128)] = None,
) -> Response:
    """What each project had of the devices, and how much of it lay idle, from the rows of leases."""
    platform = platform_of(request)
    to_us = platform.now_us() if to_us is None else to_us
    from_us = to_us - DAY_S * 1_000_000 if from_us is None else from_us
    bucket_s = max(1, -(-(to_us - from_us) // 1_000_000)) if bucket_s is None else bucket_s
    stretch = {"from_us": from_us, "to_us": to_us, "bucket_s": bucket_s, "now_us": platform.now_us()}
    found = await asyncio.to_thread(platform.queries.usage, project=project, **stretch)
    return JsonAnswer(found)
