"""The answering end of lines: one listening socket for an actor, a connection for each caller."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from ...config import NODE_HOST
from .frames import NO_ANSWER, NONCE_BYTES, PROOF_BYTES, Call, Frames, fault_of, framed, proof
from .words import WORDS

Address = tuple[str, int]

LOOPBACK: Final = "127.0.0.1"
PROVE_WITHIN_S: Final = 5.0

log = logging.getLogger("headwater.lines")


class Switchboard:
    """Words of the table that `target` has a method for are its to answer. Lives on one event loop.

    `secret` is asked for when the first caller comes to be connected. It listens on its machine's address, which
    those who started Ray there have put into the environment; without one on loopback.
    """

    def __init__(self, target: object, secret: Callable[[], bytes], *, host: str = "") -> None:
        self._target, self._secret = target, secret
        self._host = host or os.environ.get(NODE_HOST, LOOPBACK)
        self._opening: asyncio.Task[Address] | None = None
        self._server: asyncio.Server | None = None

    @property
    def host(self) -> str:
        return self._host

    async def address(self) -> Address:
        """Where to connect; the socket is opened at the first question."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Address:
        secret = self._secret()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._target, secret), self._host, 0
        )
        address: tuple[Any, ...] = self._server.sockets[0].getsockname()
        return address[0], address[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class _Connection(asyncio.Protocol):
    """One caller: proven first, then heard word by word. Unanswered words are carried out in their order."""

    def __init__(self, target: object, secret: bytes) -> None:
        self._target, self._secret = target, secret
        self._frames, self._nonce = Frames(), os.urandom(NONCE_BYTES)
        self._is_proven = False
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport.write(self._nonce)
        self._deadline = asyncio.get_running_loop().call_later(PROVE_WITHIN_S, self._end_unproven)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        if not self._is_proven and not self._prove():
            return
        for frame in self._frames:
            self._hear(msgspec.msgpack.decode(frame, type=Call))

    def _prove(self) -> bool:
        given = self._frames.exactly(PROOF_BYTES + NONCE_BYTES)
        if given is None:
            return False
        if not hmac.compare_digest(given[:PROOF_BYTES], proof(self._secret, b"caller", self._nonce)):
            log.warning("A caller did not know the platform's secret and was cut off")
            self._transport.abort()
            return False
        self._is_proven = True
        self._transport.write(proof(self._secret, b"answerer", given[PROOF_BYTES:]))
        return True

    def _end_unproven(self) -> None:
        if not self._is_proven:
            self._transport.abort()

    def _hear(self, call: Call) -> None:
        try:
            method: Any = getattr(self._target, call.word)
            answer = method(*WORDS[call.word].said.decode(call.said))
        except Exception as error:  # whatever goes wrong with one word is its caller's to know
            self._fail(call, error)
            return
        if asyncio.iscoroutine(answer):
            task = asyncio.get_running_loop().create_task(self._answer(call, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._reply(call, answer)

    async def _answer(self, call: Call, working: Any) -> None:
        try:
            answer = await working
        except Exception as error:
            self._fail(call, error)
        else:
            self._reply(call, answer)

    def _reply(self, call: Call, answer: Any) -> None:
        if call.number != NO_ANSWER:
            self._write((call.number, None, answer))

    def _fail(self, call: Call, error: Exception) -> None:
        if call.number == NO_ANSWER:
            log.error("%s failed", call.word, exc_info=error)
        else:
            self._write((call.number, fault_of(error), None))

    def _write(self, reply: tuple[Any, ...]) -> None:
        if not self._transport.is_closing():
            self._transport.write(framed(reply))
