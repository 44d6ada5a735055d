"""One connection that a writer keeps, and its transactions.

The statements of a commit go straight to the driver; SQLAlchemy begins, commits, and asks the guards, on the
same connection. Where a transaction ends in an error of the database, the connection is thrown away: what
was not committed is undone by that alone, and the next transaction takes a new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from .. import crash
from .engine import sqlite_path
from .statements import Rows

PACKED_MIN: Final = 8


class Transaction:
    """What can be done before the commit. `connection` is for what is asked of rows, until the first `many`."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._driver = _driver_of(connection)
        self._cursor = self._driver.cursor()
        self._together: ExitStack | None = None

    def first(self, sql: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """In no pipeline: psycopg ends one with a Flush, and then the server ends no session for its silence."""
        self._cursor.execute(sql, values)
        row: tuple[Any, ...] | None = self._cursor.fetchone()
        return row

    def many(self, statement: Rows, rows: Sequence[Sequence[Any]]) -> None:
        """From here on all travels together, the COMMIT included: `close` tells what went wrong on the way."""
        if self._together is None:
            self._together = ExitStack()
            self._together.enter_context(_pipeline(self._driver))
        packed = _packed(rows) if statement.packed and len(rows) >= PACKED_MIN else ""
        if packed:
            self._cursor.execute(statement.packed, (packed,))
        else:
            self._cursor.executemany(statement.each, rows)

    def close(self) -> None:
        """A cursor with rows that nobody read would hold SQLite's lock beyond the connection's end."""
        if self._together is not None:
            self._together.close()
        self._cursor.close()


class Session:
    """Blocking, for one thread. All writers of a SQLite store take turns by a lock on a file beside it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._held: sa.Connection | None = None
        sa.event.listen(engine, "engine_disposed", lambda _: self.close())
        self._lock = _lock_file(engine)
        dbapi: Any = engine.dialect.dbapi
        self.errors: tuple[type[Exception], ...] = (sa.exc.SQLAlchemyError, dbapi.Error)
        self.data_errors: tuple[type[Exception], ...] = (
            sa.exc.DataError,
            dbapi.DataError,
            TypeError,
            ValueError,
            OverflowError,
        )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commits at its end, or leaves nothing behind; after an error of the database that is in doubt."""
        with self._locked():
            try:
                connection = self._connection()
                begun = connection.begin()
                work = Transaction(connection)
                try:
                    yield work
                except (*self.errors, *self.data_errors):
                    raise
                except BaseException:
                    work.close()
                    begun.rollback()
                    raise
                begun.commit()
                work.close()
                if crash.loses_answer():
                    raise sa.exc.OperationalError("COMMIT", {}, TimeoutError("the answer was lost, for a test"))
            except (*self.errors, *self.data_errors):
                self.close()
                raise

    def close(self) -> None:
        """Gives the connection up, and what it has not committed."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(Exception):  # it is thrown away, whatever state it is in
                held.connection.rollback()
            held.invalidate()
            held.close()

    def _connection(self) -> sa.Connection:
        if self._held is None:
            self._held = self._engine.connect()
        return self._held

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _packed(rows: Sequence[Sequence[Any]]) -> str:
    """The rows as JSON; empty where a text holds a NUL, which the driver's own way shows and JSON would hide."""
    text = msgspec.json.encode(rows).decode()
    return "" if "\\u0000" in text else text


def _driver_of(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _pipeline(driver: Any) -> AbstractContextManager[object]:
    return driver.pipeline() if hasattr(driver, "pipeline") else nullcontext()


def _lock_file(engine: sa.Engine) -> int | None:
    path = sqlite_path(str(engine.url))
    return None if path is None else os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
