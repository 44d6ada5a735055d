"""The databases of a benchmark: SQLite, and PostgreSQL where Debian's package is installed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.store.engine import sqlite_url

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from scenes.postgres import ABSENT, Server

__all__ = ["ABSENT", "stores"]


@contextmanager
def stores() -> Iterator[dict[str, Callable[[], str]]]:
    """For each database that is here, what gives the URL of a fresh store."""
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        found: dict[str, Callable[[], str]] = {
            "SQLite": lambda: sqlite_url(Path(tempfile.mkdtemp(dir=folder)) / "store.db")
        }
        if ABSENT:
            yield found
            return
        server = Server(fsync="on")
        try:
            yield {**found, "PostgreSQL": server.database}
        finally:
            server.remove()
