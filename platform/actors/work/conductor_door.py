"""What hosts and workers ask of the Conductor, and the line to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from ...errors import Unavailable
from ...wire.calls import Command, Payload, PinnedModel, PinnedTable, Progress, Rendezvous, RunEnd
from ...wire.terms import Failure
from ..lines.directory import Directory
from ..lines.line import Line
from ..lines.words import Pin

T = TypeVar("T")

PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class ConductorDoor(Protocol):
    """Each raises Unavailable where no answer came; it may have been heard, and is safe to ask again."""

    async def issue(self, run_id: str, fence: int, commands: list[Command]) -> str: ...
    async def park(self, run_id: str, fence: int, waits: list[int]) -> str: ...
    async def ended(self, end: RunEnd) -> str: ...
    async def checkpoint(self, fence: int, worker: str, state: Payload) -> str: ...
    async def pin(self, run_id: str, kind: str, name: str) -> PinnedTable | PinnedModel | Failure: ...
    async def claim(self, fence: int, worker: str, secret: str) -> str: ...
    async def join(self, fence: int, worker: str, secret: str, address: str) -> Rendezvous: ...
    async def progress(self, items: list[Progress]) -> None: ...


class LineDoor:
    """The actor named `conductor`, looked up at first need and again after it was gone."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._directory = Directory(secret)

    async def issue(self, run_id: str, fence: int, commands: list[Command]) -> str:
        answer: str = await self._conductor().call("issue", run_id, fence, commands)
        return answer

    async def park(self, run_id: str, fence: int, waits: list[int]) -> str:
        answer: str = await self._conductor().call("park", run_id, fence, waits)
        return answer

    async def ended(self, end: RunEnd) -> str:
        answer: str = await self._conductor().call("ended", end)
        return answer

    async def checkpoint(self, fence: int, worker: str, state: Payload) -> str:
        answer: str = await self._conductor().call("checkpoint", fence, worker, state)
        return answer

    async def pin(self, run_id: str, kind: str, name: str) -> PinnedTable | PinnedModel | Failure:
        answer: Pin = await self._conductor().call("pin", run_id, kind, name)
        return answer.what

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        answer: str = await self._conductor().call("claim", fence, worker, secret)
        return answer

    async def join(self, fence: int, worker: str, secret: str, address: str) -> Rendezvous:
        answer: Rendezvous = await self._conductor().call("join", fence, worker, secret, address)
        return answer

    async def progress(self, items: list[Progress]) -> None:
        self._conductor().tell("progress", items)

    def _conductor(self) -> Line:
        return self._directory.line("conductor")


async def until_answered(ask: Callable[[], Awaitable[T]], *, within_s: float) -> T:
    """What `ask` gives, asked again while the Conductor is away. Raises Unavailable after `within_s`."""
    loop = asyncio.get_running_loop()
    deadline, tries = loop.time() + within_s, 0
    while True:
        try:
            return await ask()
        except Unavailable:
            pause_s = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
            if loop.time() + pause_s > deadline:
                raise
        await asyncio.sleep(pause_s)
        tries += 1
