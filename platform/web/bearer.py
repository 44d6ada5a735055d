"""The door of `/v1`: a bearer token, compared in constant time. Who passes has a principal."""

from __future__ import annotations

import hmac
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from ..wire.api.answer import Problem
from .answers import failure

PREFIX: Final = "/v1"
PRINCIPAL: Final = "token:local"


class Bearer:
    """Pure ASGI: everything under `/v1` needs the token; the rest is health, metrics and documentation."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._expected):
            scope.setdefault("state", {})["principal"] = PRINCIPAL
            await self._app(scope, receive, send)
            return
        answer = failure(401, _problem(given))
        answer.headers["WWW-Authenticate"] = "Bearer"
        await answer(scope, receive, send)


def _problem(given: bytes) -> Problem:
    message = "The bearer token is not the one of this platform" if given else "The call has no bearer token"
    remedy = "Send `Authorization: Bearer TOKEN` with the content of the file `token` in the platform's home folder."
    return Problem(code="unauthorized", message=message, remedy=remedy)
