"""What an actor says of itself: for `headwater actors` and `/v1/actors`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import psutil
import ray

from .actor_table import restarts_of


class Mailbox(Protocol):
    last_event: str
    last_event_us: int

    def __len__(self) -> int: ...


class Described:
    """What a long-lived actor tells; made in its own process."""

    def __init__(self, name: str, mailbox: Mailbox | None, *, trouble: Callable[[], str] = str) -> None:
        self._name, self._mailbox, self._trouble = name, mailbox, trouble
        self._restarts = restarts()
        self._process = psutil.Process()

    def now(self) -> dict[str, Any]:
        mailbox = self._mailbox
        return {
            "name": self._name,
            "pid": os.getpid(),
            "mailbox": len(mailbox) if mailbox is not None else 0,
            "last_event": mailbox.last_event if mailbox is not None else "",
            "last_event_us": mailbox.last_event_us if mailbox is not None else 0,
            "restarts": self._restarts,
            "trouble": self._trouble(),
            "memory_bytes": self._process.memory_info().rss,
        }


def restarts() -> int:
    """How often Ray has started this process's actor again since the platform came up; 0 outside an actor."""
    if not ray.is_initialized() or not (actor := ray.get_runtime_context().get_actor_id()):
        return 0
    return restarts_of(actor)
