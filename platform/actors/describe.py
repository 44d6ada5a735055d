"""What an actor says of itself: for `headwater actors` and `/v1/actors`."""

from __future__ import annotations

import os
from typing import Any, Protocol

import psutil


class Mailbox(Protocol):
    last_event: str
    last_event_us: int

    def __len__(self) -> int: ...


class Described:
    """`epoch` counts the starts of this actor over the life of the store."""

    def __init__(self, name: str, mailbox: Mailbox | None, *, epoch: int = 1) -> None:
        self._name, self._mailbox, self._epoch = name, mailbox, epoch
        self._process = psutil.Process()

    def now(self) -> dict[str, Any]:
        mailbox = self._mailbox
        return {
            "name": self._name,
            "pid": os.getpid(),
            "mailbox": len(mailbox) if mailbox is not None else 0,
            "last_event": mailbox.last_event if mailbox is not None else "",
            "last_event_us": mailbox.last_event_us if mailbox is not None else 0,
            "restarts": self._epoch - 1,
            "memory_bytes": self._process.memory_info().rss,
        }
