"""The same calls over asyncio streams: a connection for each, HTTP/1.1 read to its end or as it comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...errors import InvalidInput, Unavailable
from .address import Address
from .call import Call, Program, Reply, checked
from .watch import Pushed, patience_until

T = TypeVar("T")
N = TypeVar("N")

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 120.0
LINE_MAX_BYTES = 1 << 16
CHUNK_BYTES = 1 << 16
HEADERS_MAX = 200
UP = "Is the platform up? `headwater up` starts it, `headwater doctor` looks at its parts."

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AsyncLink:
    def __init__(self, address: Address) -> None:
        self._address = address

    async def ask(self, call: Call) -> Reply:
        """The reply, whatever its status; raises Unavailable where none came."""
        base = call.base or self._address.url
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S), _connected(base) as (reader, writer):
                status, headers = await self._send(call, base, reader, writer)
                body = b"".join([chunk async for chunk in _body(reader, headers)])
                return Reply(status, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            raise _unreachable(base, error) from None

    async def stream(self, call: Call, patience_s: Callable[[], float]) -> AsyncGenerator[bytes, None]:
        """The body as it comes; the first item is empty and comes once the server has accepted."""
        base = self._address.url
        try:
            async with _connected(base) as (reader, writer):
                status, headers = await self._send(call, base, reader, writer)
                chunks = _body(reader, headers)
                if status >= 400:
                    checked(Reply(status, b"".join([chunk async for chunk in chunks])))
                yield b""
                while chunk := await asyncio.wait_for(anext(chunks, b""), patience_s()):
                    yield chunk
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, Unavailable):
            patience_s()  # raises where there is no time left to try again

    async def do(self, program: Program[T]) -> T:
        reply: Any = None
        while True:
            try:
                call = program.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = await self.ask(call)

    async def told(self, watch: Pushed[N], deadline: float | None = None) -> AsyncGenerator[N, None]:
        while not watch.ended:
            patience = patience_until(deadline)
            patience()
            call = Call("GET", watch.path, watch.connect())
            async with aclosing(self.stream(call, patience)) as chunks:
                async for chunk in chunks:
                    for told in watch.feed(chunk):
                        yield told
                    if watch.ended:
                        return
            await asyncio.sleep(watch.lost())

    async def _send(
        self, call: Call, base: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, dict[str, str]]:
        writer.write(self._head(call, base))
        if isinstance(call.body, bytes):
            writer.write(call.body)
        elif call.body is not None:
            for chunk in call.body():
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return await _head_of(reader)

    def _head(self, call: Call, base: str) -> bytes:
        length = {"Content-Length": str(len(call.body))} if isinstance(call.body, bytes) else {}
        framing = {"Transfer-Encoding": "chunked"} if callable(call.body) else length
        headers = {
            "Host": urlsplit(base).netloc,
            "Connection": "close",
            "Authorization": f"Bearer {self._address.token}",
            **call.headers,
            **framing,
        }
        lines = [f"{call.method} {call.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@asynccontextmanager
async def _connected(base: str) -> AsyncIterator[Stream]:
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{base!r} is no address of a platform", remedy="It looks like http://127.0.0.1:8000.")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    opening = asyncio.open_connection(parts.hostname, port, ssl=tls, limit=LINE_MAX_BYTES)
    try:
        reader, writer = await asyncio.wait_for(opening, CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        raise _unreachable(base, error) from None
    try:
        yield reader, writer
    finally:
        writer.close()


async def _head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status = int((await reader.readline()).split()[1:2][0] if not reader.at_eof() else b"")
    headers: dict[str, str] = {}
    for _ in range(HEADERS_MAX):
        line = (await reader.readline()).decode("latin-1").strip()
        if not line:
            return status, headers
        name, _, text = line.partition(":")
        headers[name.lower()] = text.strip()
    raise ValueError(f"more than {HEADERS_MAX} headers")


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """The body's bytes as they come, by its framing."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield (await reader.readexactly(size + 2))[:-2]
        return
    left = int(headers["content-length"]) if "content-length" in headers else None
    while left is None or left > 0:
        chunk = await reader.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
        if not chunk:
            if left:
                raise asyncio.IncompleteReadError(b"", left)
            return
        left = None if left is None else left - len(chunk)
        yield chunk


def _unreachable(base: str, error: Exception) -> Unavailable:
    what = f"{base} does not answer ({error or type(error).__name__})"
    return Unavailable(what, remedy=UP)
