"""Orders that lie with their workers, ready to begin, while the leases that they are for are being written.

    decided ──prepare──► the worker unpacks the order and stands before user code ──┐
       └────commit (T2)──────────────────────────────────────────────leased────────┴──► user code

So the way to a worker takes no time beside the commit. Nothing outside happens before it: what is not leased after all
is dropped by the worker, at the next order or when nobody speaks, and a word that is lost with its line is replaced by
the whole order. An order is one with what was foretold only where both are equal.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..wire.calls import AttemptOrder, Report
from .lines.line import Line


class Foretold:
    """The last order that was foretold to each worker, and what the worker will answer."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[AttemptOrder, asyncio.Future[Any]]] = {}

    def say(self, worker: str, line: Line, order: AttemptOrder) -> None:
        """Of an order that makes no user code run before it begins."""
        if order.effect != "retry" or order.gang is not None or order.checkpoint is not None:
            return
        asked = line.ask_if_open("prepare", [order])
        if asked is not None:
            asked.add_done_callback(_pass_over)
            self._said[worker] = order, asked

    def begin(self, worker: str, line: Line, orders: list[AttemptOrder]) -> asyncio.Future[list[Report]] | None:
        """The answer to come, where just these lie with the worker: it is told that they are leased."""
        order, asked = self._said.pop(worker, (None, None))
        if asked is None or asked.done() or orders != [order]:
            return None
        line.tell("leased", [order.fence for order in orders])
        return asked


def _pass_over(asked: asyncio.Future[Any]) -> None:
    """Nobody asks for the answer to what was not leased after all."""
    if not asked.cancelled():
        asked.exception()
