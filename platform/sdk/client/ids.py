"""Ids that a client mints: the platform takes a repeat of one as the same thing."""

from __future__ import annotations

import os
import time

from ...wire.ids import uuid7


def new_id() -> str:
    return uuid7(time.time_ns() // 1000, os.urandom(10))
