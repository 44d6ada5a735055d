"""Opening the store: an embedded SQLite file, private to the user, or any URL that SQLAlchemy takes.

SQLite runs in WAL with `synchronous=FULL`. pysqlite's own transactions are off: a writer begins with
`BEGIN IMMEDIATE` under the store's file lock (see `writer`), a reader with a plain `BEGIN`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import Unavailable
from .migrate import upgrade
from .schema import LOG_HEAD, OWNERS

BUSY_TIMEOUT_MS = 10_000


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def open_engine(url: str, *, read_only: bool = False) -> sa.Engine:
    """An engine on `url`. A read-only one refuses to write, whatever it is asked."""
    engine = sa.create_engine(url, poolclass=sa.pool.QueuePool, pool_size=4, max_overflow=12)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _read_only if read_only else _read_write)
        sa.event.listen(engine, "begin", _begin if read_only else _begin_immediate)
    return engine


def create(url: str, *, store_epoch: str) -> None:
    """The tables and the log's head, where they are not there yet. Running it again changes nothing."""
    path = sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            upgrade(connection)
            if connection.execute(sa.select(LOG_HEAD.c.id)).first() is None:
                connection.execute(LOG_HEAD.insert().values(**_first_head(store_epoch)))
    except sa.exc.OperationalError as error:
        raise Unavailable(f"The database {url} cannot be opened: {error.orig}", remedy="Check the disk.") from error
    finally:
        engine.dispose()


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite URL; None for a server."""
    parsed = sa.make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _first_head(store_epoch: str) -> dict[str, Any]:
    zeros = {f"{owner}_{what}": 0 for owner in OWNERS for what in ("epoch", "commits")}
    return {"id": 1, "store_epoch": store_epoch, "position": 0, "clean": 1, **zeros}


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _read_write(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _read_only(connection: Any, record: object) -> None:
    _read_write(connection, record)
    connection.execute("PRAGMA query_only=ON")
