"""The calling end of a line to one actor: kept open, opened again when it was lost.

Ray starts actors, finds them and tells of their death. What they say to one another all day goes over a socket
of its own: a call of a Ray actor costs about a millisecond of two processes' time, a word on a line some
microseconds. `bench/lines.py` measures both.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

from ...errors import Unavailable
from .frames import NO_ANSWER, NONCE_BYTES, PROOF_BYTES, Frames, Reply, framed, proof
from .switchboard import Address
from .words import WORDS

CONNECT_WITHIN_S: Final = 10.0
UNSENT_MAX: Final = 1_000

log = logging.getLogger("headwater.lines")


class Line:
    """Lives on one event loop. `find` gives the address and raises Unavailable where nobody is there."""

    def __init__(self, name: str, find: Callable[[], Awaitable[Address]], secret: bytes) -> None:
        self.name = name
        self._find, self._secret = find, secret
        self._end: End | None = None
        self._opening: asyncio.Task[End] | None = None
        self._unsent: list[bytes] = []

    async def call(self, word: str, *said: Any) -> Any:
        """The answer. Raises Unavailable where none came (it may have been heard), or the error of whoever answers."""
        return await self.ask(word, *said)

    def ask(self, word: str, *said: Any) -> Awaitable[Any]:
        """The same, said before this returns where the line is open."""
        return self.ask_if_open(word, *said) or self._ask_once_open(word, said)

    def ask_if_open(self, word: str, *said: Any) -> asyncio.Future[Any] | None:
        """The same, said now or never."""
        return self._end.ask(word, said) if self._end is not None and self._end.is_open else None

    async def _ask_once_open(self, word: str, said: tuple[Any, ...]) -> Any:
        return await (await self.open()).ask(word, said)

    def tell(self, word: str, *said: Any) -> None:
        """Says it after all that was said before; lossy: what finds the line closed goes out once it is open again."""
        frame = framed((NO_ANSWER, word, said))
        if self._end is not None and self._end.is_open:
            self._end.write(frame)
        elif len(self._unsent) < UNSENT_MAX:
            self._unsent.append(frame)
            self._open_later()

    async def open(self) -> End:
        """Raises Unavailable where nobody answers."""
        self._open_later()
        assert self._opening is not None
        return await asyncio.shield(self._opening)

    def close(self) -> None:
        self._unsent.clear()
        if self._opening is not None:
            self._opening.cancel()
        if self._end is not None:
            self._end.close()

    def _open_later(self) -> None:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._opened)

    async def _open(self) -> End:
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                host, port = await self._find()
                loop = asyncio.get_running_loop()
                _, end = await loop.create_connection(lambda: End(self.name, self._secret), host, port)
                await end.proven
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"{self.name} does not answer ({str(error) or type(error).__name__})") from None
        self._end = end
        for frame in self._unsent:
            end.write(frame)
        self._unsent.clear()
        return end

    def _opened(self, task: asyncio.Task[End]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._unsent.clear()
            log.info("%s", error)


class End(asyncio.Protocol):
    """One connection: the calls that wait on it for their answers. `lost` is done when it is gone."""

    def __init__(self, name: str, secret: bytes) -> None:
        self._name, self._secret = name, secret
        self._frames, self._nonce = Frames(), os.urandom(NONCE_BYTES)
        self._calls: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._number = NO_ANSWER
        self._challenged = False
        self.is_open = False
        loop = asyncio.get_running_loop()
        self.proven: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def ask(self, word: str, said: tuple[Any, ...]) -> asyncio.Future[Any]:
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self.write(framed((number, word, said)))
        self._calls[number] = (word, answer)
        answer.add_done_callback(lambda _: self._calls.pop(number, None))
        return answer

    def write(self, frame: bytes) -> None:
        self._transport.write(frame)

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        lost = f"{self._name} went away before it answered"
        for _, answer in list(self._calls.values()):
            if not answer.done():
                answer.set_exception(Unavailable(lost))
        if not self.proven.done():
            self.proven.set_exception(ConnectionResetError(lost))
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        if not self.is_open and not self._prove():
            return
        for frame in self._frames:
            self._hear(msgspec.msgpack.decode(frame, type=Reply))

    def _prove(self) -> bool:
        """First the other side's nonce, which is answered; then the other side's proof."""
        if not self._challenged:
            nonce = self._frames.exactly(NONCE_BYTES)
            if nonce is None:
                return False
            self._challenged = True
            self._transport.write(proof(self._secret, b"caller", nonce) + self._nonce)
        given = self._frames.exactly(PROOF_BYTES)
        if given is None:
            return False
        if not hmac.compare_digest(given, proof(self._secret, b"answerer", self._nonce)):
            self._transport.abort()
            return False
        self.is_open = True
        if not self.proven.done():
            self.proven.set_result(None)
        return True

    def _hear(self, reply: Reply) -> None:
        word, answer = self._calls.get(reply.number, ("", None))
        if answer is None or answer.done():  # the caller went away
            return
        if reply.fault is not None:
            answer.set_exception(reply.fault.error())
            return
        try:
            answer.set_result(WORDS[word].answer.decode(reply.answer))
        except msgspec.ValidationError as error:
            answer.set_exception(Unavailable(f"{self._name} answered {word} with what cannot be read: {error}"))
