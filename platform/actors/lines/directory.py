"""Lines by the names of actors: Ray knows where they live, and is asked only when a line must be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import Unavailable
from ..names import find, forget
from .line import Line
from .switchboard import Address


class Directory:
    """The lines that one actor has to others. Lives on its event loop."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = secret
        self._lines: dict[str, Line] = {}

    def line(self, name: str) -> Line:
        """The one line to the actor of that name, open or not."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(name, lambda: address_of(name), self._secret())
        return line

    def drop(self, name: str) -> None:
        """The actor is gone for good: its line is closed and forgotten."""
        if (line := self._lines.pop(name, None)) is not None:
            line.close()


async def address_of(name: str) -> Address:
    """Where the living actor of that name is spoken to. Raises Unavailable where there is none."""
    from ray.exceptions import RayError

    handle = await asyncio.to_thread(find, name)
    try:
        address: Address = await handle.line.remote()
    except RayError as error:
        forget(name)
        raise Unavailable(f"{name} does not answer ({type(error).__name__})") from None
    return address
