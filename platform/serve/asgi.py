"""The smallest web framework: a request in, an answer out, every failure `{"error": …}`.

A replica answers thousands of small requests a second on one loop, where a router and a request object would
cost more than the prediction.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from ..errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable
from ..wire import v2

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_BYTES_MAX = 64 << 20

log = logging.getLogger(__name__)


class Unauthorized(HeadwaterError):
    """The request carries no token, or a wrong one."""


class TooLarge(HeadwaterError):
    """The body is larger than this server reads."""


STATUS: dict[type[HeadwaterError], int] = {
    InvalidInput: 400,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    Unavailable: 503,
}


class Answer(msgspec.Struct, frozen=True):
    body: bytes
    status: int = 200


class Request:
    """One HTTP request; `path` is what follows the app's own prefix, without a slash at its end."""

    __slots__ = ("_receive", "_scope", "method", "path")

    def __init__(self, scope: Message, receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self.method: str = scope["method"]
        self.path: str = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")

    def header(self, name: bytes) -> bytes:
        """The header's first value, or nothing; `name` in lower case."""
        value: bytes = next((value for key, value in self._scope["headers"] if key == name), b"")
        return value

    async def body(self) -> bytes:
        """The whole body; raises TooLarge past BODY_BYTES_MAX."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_BYTES_MAX:
                raise TooLarge(f"The body is over {BODY_BYTES_MAX} bytes", remedy="Send fewer rows at once.")
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class App:
    """An ASGI application around one function from request to answer."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send(send, await self._answered(Request(scope, receive)))
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    async def _answered(self, request: Request) -> Answer:
        try:
            return await self._answer(request)
        except HeadwaterError as error:
            return failure(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return Answer(v2.encode_error("Internal error; the replica's log has the cause"), 500)


def failure(error: HeadwaterError) -> Answer:
    """The answer that says what was wrong."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    return Answer(v2.encode_error(str(error)), status)


def check_token(request: Request, token_sha256: str) -> None:
    """Raises Unauthorized unless the request bears the token with this hash; an empty hash lets nobody in."""
    given = request.header(b"authorization").removeprefix(b"Bearer ")
    if not given:
        raise Unauthorized("The request has no token", remedy="Send the header 'Authorization: Bearer TOKEN'.")
    if not hmac.compare_digest(hashlib.sha256(given).hexdigest(), token_sha256):
        raise Unauthorized("The token is not this platform's", remedy="Its token is in the home folder's 'token' file.")


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer.body)).encode())]
    if answer.status == STATUS[Unauthorized]:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
