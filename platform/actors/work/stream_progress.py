"""Hearing how far the streams of tables are that user code reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ...data.stream import Progress, on_progress


@contextlib.contextmanager
def followed(hear: Progress) -> Iterator[None]:
    token = on_progress.set(hear)
    try:
        yield
    finally:
        on_progress.reset(token)
