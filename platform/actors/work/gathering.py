"""A rank of a gang until it begins: it joins with an address, and waits until all the others have."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from ...errors import Unavailable
from ...wire.calls import AttemptOrder
from ...wire.terms import Failure
from .attempt import stop_message
from .conductor_door import ConductorDoor, until_answered

JOIN_WITHIN_S: Final = 60.0
ASK_AGAIN_S: Final = 5.0  # the word to begin may have been lost with its line


class Gathering:
    """`address` is `host:port` of rank 0 once `gather` has returned nothing."""

    def __init__(self, order: AttemptOrder, worker: str, door: ConductorDoor, host: str) -> None:
        self.address = ""
        self._order, self._worker, self._door = order, worker, door
        self._mine = f"{host}:{free_port(host)}"
        self._called_off = ""
        self._rung = asyncio.Event()

    def begin(self, address: str) -> None:
        self.address = address
        self._rung.set()

    def call_off(self, kind: str) -> None:
        self._called_off = self._called_off or kind
        self._rung.set()

    async def gather(self) -> Failure | None:
        """Why this rank must not begin; None once all are there."""
        while True:
            refused = await self._join()
            if refused:
                return Failure(kind="lost", message=f"The gang was not joined: {refused}", step=self._order.name)
            if not self.address:
                await self._wait()
            if self._called_off:
                message = stop_message(self._order, self._called_off)
                return Failure(kind=self._called_off, message=message, step=self._order.name)
            if self.address:
                return None

    async def _join(self) -> str:
        order = self._order
        try:
            answer = await until_answered(
                lambda: self._door.join(order.fence, self._worker, order.secret, self._mine), within_s=JOIN_WITHIN_S
            )
        except Unavailable as error:
            return str(error)
        self.address = answer.address or self.address
        return answer.refused

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(ASK_AGAIN_S):
                await self._rung.wait()
        except TimeoutError:
            return


def free_port(host: str) -> int:
    """A port that nobody listens on now; whoever binds it first has it."""
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
