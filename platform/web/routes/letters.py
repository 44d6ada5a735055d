"""Dead letters: list, look, replay, discard."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...core.replays import replays_in
from ...errors import NotFound
from ...wire.api.events import DeadLetterDetail, DeadLetterSummary
from ...wire.api.triggers import Resolved, ResolveLetters
from ..answers import JsonAnswer, refusal
from ..openapi import answers, pages, takes
from ..paging import LetterQuery
from ..requests import paced, pending, place, platform_of, struct_of
from ..seams import Refused

router = APIRouter(prefix="/v1/dlq", tags=["dead letters"])


@router.get("", responses=pages(DeadLetterSummary))
async def list_dead_letters(request: Request, asked: Annotated[LetterQuery, Query()]) -> Response:
    """What could not be taken in, newest first; `state` is open unless given."""
    queries = platform_of(request).queries
    chosen = {"state": asked.state, "code": asked.code, "trigger": asked.trigger}
    return JsonAnswer(await asyncio.to_thread(queries.dead_letters, after=asked.after, limit=asked.limit, **chosen))


@router.get("/{letter_id}", responses=answers(DeadLetterDetail))
async def show_dead_letter(request: Request, letter_id: str) -> Response:
    """One dead letter, with the raw bytes as base64."""
    found = await asyncio.to_thread(platform_of(request).queries.dead_letter, letter_id)
    if found is None:
        raise NotFound(f"There is no dead letter '{letter_id[:80]}'", remedy="See `headwater dlq list`.")
    return JsonAnswer(found)


@router.post("/replay", responses=answers(Resolved), openapi_extra=takes(ResolveLetters))
async def replay_dead_letters(request: Request) -> Response:
    """Takes at most 100 of them up again, as the triggers are deployed now; what still does not fit stays. The answer
    waits for its turn: all together are replayed at `events.replays_per_s`."""
    return await _resolve(request, "letter.replay")


@router.post("/discard", responses=answers(Resolved), openapi_extra=takes(ResolveLetters))
async def discard_dead_letters(request: Request) -> Response:
    """Puts at most 100 of them away for good: their bytes are dropped, the reason is kept."""
    return await _resolve(request, "letter.discard")


async def _resolve(request: Request, kind: str) -> Response:
    asked = await struct_of(request, ResolveLetters)
    data = {"ids": list(asked.ids)}
    await paced(request, replays_in(kind, data))
    command, answer = await place(request, kind, data)
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer)
    return JsonAnswer(msgspec.convert(answer.result, Resolved))
