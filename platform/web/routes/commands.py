"""Orders to the owners, and what became of them."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...wire.api.commands import CommandView, PostOrder
from ..answers import JsonAnswer, refusal
from ..openapi import answers, takes
from ..requests import pending, place, platform_of, struct_of
from ..seams import Refused

router = APIRouter(prefix="/v1", tags=["commands"])


@router.post("/orders", responses=answers(CommandView), openapi_extra=takes(PostOrder))
async def post_order(request: Request) -> Response:
    """Gives a command to its owner. 202 and the command's id where the owner needs longer than a moment."""
    asked = await struct_of(request, PostOrder)
    command, answer = await place(request, asked.kind, asked.data, project=asked.project, order_id=asked.id)
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer)
    return JsonAnswer(CommandView(id=command, state="done", result=answer.result))


@router.get("/commands/{command_id:path}", responses=answers(CommandView))
async def show_command(request: Request, command_id: str) -> Response:
    """Done, refused with the reason, or pending: also for an id that nobody has heard of yet."""
    return JsonAnswer(await asyncio.to_thread(platform_of(request).queries.command, command_id))
