"""Rows into a table: an Arrow IPC stream, spooled to disk, committed by the TableWriter under a key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from ...errors import InvalidInput
from ...wire.api.tables import Appended
from ..answers import JsonAnswer, refusal
from ..openapi import answers, takes_bytes
from ..requests import chunks_of, platform_of, principal_of
from ..seams import Append, Refused

router = APIRouter(prefix="/v1/tables", tags=["tables"])
ARROW_STREAM = "application/vnd.apache.arrow.stream"


@router.post("/{name}/append", responses=answers(Appended), openapi_extra=takes_bytes(ARROW_STREAM))
async def append(
    request: Request, name: str, project: str = "", idempotency_key: Annotated[str | None, Header()] = None
) -> Response:
    """Appends the rows in one commit. The key is the commit key: asking again makes no second commit."""
    if not idempotency_key:
        raise InvalidInput("The append has no key", remedy="Send a header Idempotency-Key that names this commit.")
    platform = platform_of(request)
    path = platform.settings.home / "spool" / f"{platform.new_id()}.arrows"
    try:
        await _spool(request, path, at_most=platform.settings.append_max_bytes)
        order = Append(
            table=name, path=str(path), key=idempotency_key, project=project, principal=principal_of(request)
        )
        answer = await platform.owners.append(order)
    finally:
        path.unlink(missing_ok=True)
    return refusal(answer) if isinstance(answer, Refused) else JsonAnswer(answer)


async def _spool(request: Request, path: Path, *, at_most: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("xb") as sink:
        async for chunk in chunks_of(request, at_most=at_most):
            await asyncio.to_thread(sink.write, chunk)
