"""What hosts and workers ask of the Conductor, and the way to it over Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from ..errors import Unavailable
from ..wire.calls import Command, Payload, PinnedModel, PinnedTable, Progress, RunEnd
from ..wire.types import Failure
from .names import find, forget

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
    async def progress(self, items: list[Progress]) -> None: ...


class RayDoor:
    """The actor named `conductor`, looked up at first need and again after it was gone."""

    def __init__(self, name: str = "conductor") -> None:
        self._name = name

    async def issue(self, run_id: str, fence: int, commands: list[Command]) -> str:
        answer: str = await self._ask("issue", run_id, fence, commands)
        return answer

    async def park(self, run_id: str, fence: int, waits: list[int]) -> str:
        answer: str = await self._ask("park", run_id, fence, waits)
        return answer

    async def ended(self, end: RunEnd) -> str:
        answer: str = await self._ask("ended", end)
        return answer

    async def checkpoint(self, fence: int, worker: str, state: Payload) -> str:
        answer: str = await self._ask("checkpoint", fence, worker, state)
        return answer

    async def pin(self, run_id: str, kind: str, name: str) -> PinnedTable | PinnedModel | Failure:
        answer: PinnedTable | PinnedModel | Failure = await self._ask("pin", run_id, kind, name)
        return answer

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        answer: str = await self._ask("claim", fence, worker, secret)
        return answer

    async def progress(self, items: list[Progress]) -> None:
        await self._ask("progress", items)

    async def _ask(self, method: str, *arguments: object) -> Any:
        from ray.exceptions import RayError

        handle = await asyncio.to_thread(find, self._name)
        try:
            return await getattr(handle, method).remote(*arguments)
        except RayError as error:
            forget(self._name)
            raise Unavailable(f"The {self._name} did not answer {method} ({error})") from None


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
