"""Calls over `http.client`: connections are kept and used again, each by one thread at a time."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
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
CHUNK_BYTES = 1 << 16
IDLE_MAX = 8
UP = "Is the platform up? `headwater up` starts it, `headwater doctor` looks at its parts."

_Lost = (ConnectionError, http.client.BadStatusLine, http.client.IncompleteRead)


class Link:
    """Safe for several threads. Every call may be sent again: all of ours carry an id or a key."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def ask(self, call: Call) -> Reply:
        """The reply, whatever its status; raises Unavailable where none came."""
        base = call.base or self._address.url
        kept = self._take(base)
        if kept is not None:
            try:
                return self._exchange(kept, call, base)
            except _Lost:  # the server closed it while it was idle
                kept.close()
        try:
            return self._exchange(connect(base), call, base)
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(base, error) from None

    def stream(self, call: Call, patience_s: Callable[[], float]) -> Iterator[bytes]:
        """The body as it comes, each chunk within `patience_s()`; ends quietly where the connection is lost.

        The first item is empty and comes once the server has accepted; a refusal raises.
        """
        connection = None
        try:
            connection = connect(self._address.url)
            response = self._send(connection, call)
            if response.status >= 400:
                checked(Reply(response.status, response.read()))
            yield b""
            sock = connection.sock
            while True:
                sock.settimeout(patience_s())
                chunk = response.read1(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk
        except (OSError, http.client.HTTPException, Unavailable):
            patience_s()  # raises where there is no time left to try again
        finally:
            if connection is not None:
                connection.close()

    def do(self, program: Program[T]) -> T:
        """What a program answers, its calls made one after the other."""
        reply: Any = None
        while True:
            try:
                call = program.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = self.ask(call)

    def told(self, watch: Pushed[N], deadline: float | None = None) -> Generator[N, None, None]:
        """What a watch is told until its stream ends; connects again where it is lost."""
        while not watch.ended:
            patience = patience_until(deadline)
            patience()
            call = Call("GET", watch.path, watch.connect())
            for chunk in self.stream(call, patience):
                yield from watch.feed(chunk)
                if watch.ended:
                    return
            time.sleep(watch.lost())

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, call: Call, base: str) -> Reply:
        response = self._send(connection, call)
        reply = Reply(response.status, response.read())
        self._give_back(base, connection, response)
        return reply

    def _send(self, connection: http.client.HTTPConnection, call: Call) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._address.token}", **call.headers}
        body = call.body() if callable(call.body) else call.body
        connection.request(call.method, call.path, body, headers, encode_chunked=callable(call.body))
        return connection.getresponse()

    def _take(self, base: str) -> http.client.HTTPConnection | None:
        with self._lock:
            idle = self._idle.get(base)
            return idle.pop() if idle else None

    def _give_back(self, base: str, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        with self._lock:
            idle = self._idle.setdefault(base, [])
            if not response.will_close and len(idle) < IDLE_MAX:
                idle.append(connection)
                return
        connection.close()


def connect(base: str) -> http.client.HTTPConnection:
    """An open connection without Nagle's delay."""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{base!r} is no address of a platform", remedy="It looks like http://127.0.0.1:8000.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=CONNECT_TIMEOUT_S)
    try:
        connection.connect()
    except OSError as error:
        raise unreachable(base, error) from None
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sock.settimeout(REPLY_TIMEOUT_S)
    return connection


def unreachable(base: str, error: Exception) -> Unavailable:
    what = f"{base} does not answer ({error or type(error).__name__})"
    return Unavailable(what, remedy=UP)
