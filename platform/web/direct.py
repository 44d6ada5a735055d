"""A subscriber's connection, written to without the ways of ASGI: the same bytes for all of them, and no task woken.

Under uvicorn the server's `send` belongs to a cycle that has the connection's transport. A stream that has sent its
head and has nothing to catch up with lets the hub write there; whatever else it sends goes the usual way, on the same
loop. A client that does not read is not written to: what comes waits in its subscription, whose bound cuts it.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

UNSENT_MAX_BYTES: Final = 1 << 16
KEY: Final = "headwater.line"


class Transport(Protocol):
    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...


class Line:
    """The body of one HTTP/1.1 answer that is sent in chunks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def write(self, chunk: bytes) -> bool:
        """Whether it goes out. Not where the client has gone, or has more to read than it should."""
        if self._transport.is_closing() or self._transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            return False
        self._transport.write(chunk)
        return True


def chunked(body: bytes) -> bytes:
    """A piece of a body in HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(body), body)


class Lines:
    """Pure ASGI: leaves the connection's line in the scope, where the server has one to give."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("http_version") == "1.1":
            transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
            if all(hasattr(transport, name) for name in ("write", "is_closing", "get_write_buffer_size")):
                scope[KEY] = Line(transport)
        await self._app(scope, receive, send)
