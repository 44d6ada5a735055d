"""Opening the store: an embedded SQLite file, private to the user, or a PostgreSQL database.

SQLite runs in WAL with `synchronous=FULL`. pysqlite's own transactions are off: a writer begins with
`BEGIN IMMEDIATE` under the store's file lock (see `session`), a reader with a plain `BEGIN`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import InvalidInput, Unavailable
from .migrate import upgrade
from .postgres import Waits, full_url, open_postgres
from .schema import LOG_HEAD, OWNERS

BUSY_TIMEOUT_MS = 10_000
DEFAULT_WAITS = Waits()


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def open_engine(url: str, *, read_only: bool = False, waits: Waits = DEFAULT_WAITS) -> sa.Engine:
    """An engine on `url`. A read-only one refuses to write, whatever it is asked."""
    backend = full_url(url).get_backend_name()
    if backend == "postgresql":
        return open_postgres(url, waits, read_only=read_only)
    if backend != "sqlite":
        raise InvalidInput(f"The store cannot be in {backend!r}", remedy="Give store.url of a PostgreSQL database")
    engine = sa.create_engine(url, poolclass=sa.pool.QueuePool, pool_size=4, max_overflow=12)
    sa.event.listen(engine, "connect", _read_only if read_only else _read_write)
    sa.event.listen(engine, "begin", _begin if read_only else _begin_immediate)
    return engine


def create(url: str, *, store_epoch: str, waits: Waits = DEFAULT_WAITS) -> None:
    """The tables and the log's head, where they are not there yet. Running it again changes nothing."""
    path = sqlite_path(url)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = open_engine(url, waits=waits)
    try:
        with reached(engine) as connection, connection.begin():
            upgrade(connection)
            if connection.execute(sa.select(LOG_HEAD.c.id)).first() is None:
                connection.execute(LOG_HEAD.insert().values(**_first_head(store_epoch)))
    finally:
        engine.dispose()


@contextmanager
def reached(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for a short while. Raises Unavailable where the database does not answer."""
    with answered(engine), engine.connect() as connection:
        yield connection


@contextmanager
def answered(engine: sa.Engine) -> Iterator[None]:
    """Raises Unavailable for what a database says, or a driver, that cannot do its work now."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        where, why = engine.url.render_as_string(hide_password=True), str(getattr(error, "orig", error)).strip()
        remedy = "Check the disk." if engine.dialect.name == "sqlite" else "Check that the server runs and store.url."
        raise Unavailable(f"The database {where} does not answer: {why}", remedy=remedy) from error


def sqlite_path(url: str) -> Path | None:
    """The file behind a SQLite URL; None for a server."""
    parsed = full_url(url)
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
