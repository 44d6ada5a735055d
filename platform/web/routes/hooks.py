"""Webhooks: signed calls of others become events.

A file in `webhooks/` of the home folder is a hook: its name is the hook's, its content the secret. One in
`webhooks/PROJECT/` is that project's, and so are its events. A call to `/hooks/NAME` or `/hooks/PROJECT/NAME` is
signed with HMAC-SHA256 over the body in `X-Hub-Signature-256`, as GitHub does, and becomes the event `webhook.NAME`.
The event's id is the digest of the body: what is delivered again, or recorded and played back, is the same event and
starts nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from ...errors import NotFound
from ...events.bus import Message
from ...wire import envelope
from ...wire.api.answer import Problem
from ...wire.api.events import Accepted
from ...wire.topics import EVENTS
from ...wire.voucher import voucher
from ..answers import JsonAnswer, failure
from ..openapi import answers, takes_bytes
from ..requests import body_of, platform_of
from .events import STATUS

router = APIRouter(prefix="/hooks", tags=["events"])

FOLDER: Final = "webhooks"
SIGNATURE: Final = "x-hub-signature-256"
_PATH: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.@-]{0,127}/)?[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_BODY: Final = takes_bytes("application/json", "application/octet-stream")


_SAID: Final = answers(Accepted, status=202)


@router.post("/{name}", status_code=202, responses=_SAID, openapi_extra=_BODY)
async def take(request: Request, name: str) -> Response:
    """Takes one signed call; the event is durable before the answer."""
    return await _taken(request, "", name)


@router.post("/{project}/{name}", status_code=202, responses=_SAID, openapi_extra=_BODY)
async def take_of_project(request: Request, project: str, name: str) -> Response:
    """The same for a hook of a project: only that project's triggers see the event."""
    return await _taken(request, project, name)


async def _taken(request: Request, project: str, name: str) -> Response:
    platform = platform_of(request)
    path = f"{project}/{name}" if project else name
    secret = await asyncio.to_thread(_secret, platform.settings.home, path)
    body = await body_of(request, at_most=platform.settings.event_max_bytes)
    if not _is_signed(secret, body, request.headers.get(SIGNATURE, "")):
        message = f"The call is not signed with the secret of webhook '{path}'"
        remedy = f"Send {SIGNATURE}: sha256=HEX, the HMAC-SHA256 of the body."
        return failure(401, Problem(code="bad_signature", message=message, remedy=remedy))
    (event,) = envelope.parse_http(body, _attributes(project, name, body, request.headers.get("content-type")))
    if isinstance(event, envelope.Rejected):
        problem = Problem(code=event.reason.value, message=event.sentence)
        return failure(STATUS.get(event.reason, 400), problem)
    value, headers = envelope.encode_structured(event)
    proved = (*headers, *voucher(platform.settings.secret, f"webhook:{path}", event))
    await platform.producer.send_many([Message(EVENTS.name, name.encode(), value, proved)])
    return JsonAnswer(Accepted(ids=(event.id,)), 202)


def _secret(home: Path, path: str) -> bytes:
    """The hook's secret. An empty one would let everybody in, and is none."""
    file = home / FOLDER / path
    found = file.read_bytes().strip() if _PATH.fullmatch(path) and file.is_file() else b""
    if not found:
        remedy = f"Write its secret into {FOLDER}/NAME or {FOLDER}/PROJECT/NAME of the platform's home folder."
        raise NotFound(f"There is no webhook '{path[:128]}'", remedy=remedy)
    return found


def _is_signed(secret: bytes, body: bytes, given: str) -> bool:
    expected = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    return hmac.compare_digest(expected.encode(), given.encode())


def _attributes(project: str, name: str, body: bytes, content_type: str | None) -> list[tuple[str, str]]:
    return [
        *([("ce-project", project)] if project else []),
        ("ce-specversion", "1.0"),
        ("ce-id", hashlib.sha256(body).hexdigest()),
        ("ce-source", f"/hooks/{project}/{name}" if project else f"/hooks/{name}"),
        ("ce-type", f"webhook.{name}"),
        ("content-type", content_type or "application/json"),
    ]
