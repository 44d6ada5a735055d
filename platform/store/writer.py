"""The one way into the store: an owner's transaction.

It begins by taking the log's head row for its owner's epoch: one statement is lock, numbering and
fence. A writer whose epoch was taken over writes nothing and learns that it is fenced. Guards are
asked inside the transaction, from rows: one that objects ends the transaction before anything is
written. An error of the database leaves in doubt whether the commit landed; `landed` settles it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from ..errors import HeadwaterError
from ..wire.types import Entry, Said, encode_body, type_of
from .engine import sqlite_path
from .rows import RowCodec, codecs
from .schema import LOG, LOG_HEAD, METADATA

Changes = Mapping[str, Mapping[Any, msgspec.Struct | None]]
Guard = Callable[[sa.Connection], str]
"""Looks at rows inside the transaction; an empty answer lets it go on."""


class Fenced(HeadwaterError):
    """Another incarnation of this owner has taken over: this one must end."""


class CommitFailed(HeadwaterError):
    """The transaction ended in an error; it may or may not have landed."""


class Unwritable(HeadwaterError):
    """A row or a word has no form that the store could keep; nothing was written."""


class Objected(HeadwaterError):
    """The guard number `index` objected; nothing was written."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"Guard {index} objects: {reason}")
        self.index, self.reason = index, reason


class Writer:
    """Commits for one owner. Blocking, for one thread; `lock` is a file that all writers of a SQLite store share."""

    def __init__(self, engine: sa.Engine, owner: str) -> None:
        self._engine, self._owner = engine, owner
        self._codecs: Mapping[str, RowCodec[Any]] = codecs()
        self._upserts: dict[str, str] = {}
        self._deletes: dict[str, str] = {}
        self._epoch_column, self._commits_column = f"{owner}_epoch", f"{owner}_commits"
        self._mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
        self._insert_log = self._insert(LOG)
        self._lock = _lock_file(engine)
        self.epoch = 0
        self.commits = 0

    def take_epoch(self) -> int:
        """This owner's new epoch. It waits for a commit in flight; whoever held the old one is fenced."""
        epoch, commits = LOG_HEAD.c[self._epoch_column], LOG_HEAD.c[self._commits_column]
        statement = sa.update(LOG_HEAD).values({epoch: epoch + 1}).returning(epoch, commits)
        with self._locked(), self._engine.begin() as connection:
            self.epoch, self.commits = connection.execute(statement).one()
        return self.epoch

    def commit(self, changes: Changes, said: Sequence[Said] = (), guards: Sequence[Guard] = ()) -> list[Entry]:
        """Writes it all, or nothing; the entries as they now stand in the log.

        Raises Fenced, Objected or Unwritable (nothing was written), or CommitFailed (in doubt: ask `landed`).
        """
        try:
            with self._locked(), self._engine.begin() as connection:
                position = self._take_head(connection, len(said))
                for index, guard in enumerate(guards):
                    if reason := guard(connection):
                        raise Objected(index, reason)
                entries = _entries(said, position - len(said))
                self._write(connection, changes)
                self._append(connection, entries)
        except sa.exc.SQLAlchemyError as error:
            raise CommitFailed(f"The database did not take the transaction: {error}") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise Unwritable(f"What was to be written cannot be encoded: {error}") from error
        self.commits += 1
        return entries

    def landed(self) -> bool:
        """Whether the transaction in doubt is there. Raises the epoch first, which shuts it out if it is not.

        Only its own epoch: one that was taken over learns that it is fenced, and leaves the new owner alone.
        """
        epoch, commits = LOG_HEAD.c[self._epoch_column], LOG_HEAD.c[self._commits_column]
        mine = sa.update(LOG_HEAD).where(epoch == self.epoch).values({epoch: epoch + 1}).returning(epoch, commits)
        before = self.commits
        with self._locked(), self._engine.begin() as connection:
            row = connection.execute(mine).first()
        if row is None:
            raise self._fenced()
        self.epoch, self.commits = row
        return self.commits > before

    def _fenced(self) -> Fenced:
        return Fenced(f"The {self._owner} of epoch {self.epoch} was taken over", remedy="This process ends itself.")

    def _take_head(self, connection: sa.Connection, count: int) -> int:
        sql = (
            f"UPDATE log_head SET position = position + {self._mark}, "
            f"{self._commits_column} = {self._commits_column} + 1 "
            f"WHERE {self._epoch_column} = {self._mark} RETURNING position"
        )
        row = connection.exec_driver_sql(sql, (count, self.epoch)).first()
        if row is None:
            raise self._fenced()
        return int(row[0])

    def _write(self, connection: sa.Connection, changes: Changes) -> None:
        for table, rows in changes.items():
            codec = self._codecs[table]
            kept = [codec.values(row) for row in rows.values() if row is not None]
            gone = [key if isinstance(key, tuple) else (key,) for key, row in rows.items() if row is None]
            if kept:
                connection.exec_driver_sql(self._upsert(table), kept)
            if gone:
                connection.exec_driver_sql(self._delete(table), gone)

    def _append(self, connection: sa.Connection, entries: list[Entry]) -> None:
        if entries:
            connection.exec_driver_sql(self._insert_log, [_log_row(entry) for entry in entries])

    def _insert(self, table: sa.Table) -> str:
        quote = self._engine.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in table.columns)
        marks = ", ".join([self._mark] * len(table.columns))
        return f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})"

    def _upsert(self, name: str) -> str:
        if name not in self._upserts:
            table, quote = METADATA.tables[name], self._engine.dialect.identifier_preparer.quote
            keys = ", ".join(quote(column.name) for column in table.primary_key)
            rest = [quote(column.name) for column in table.columns if not column.primary_key]
            sets = ", ".join(f"{column} = excluded.{column}" for column in rest)
            action = f"DO UPDATE SET {sets}" if sets else "DO NOTHING"
            self._upserts[name] = f"{self._insert(table)} ON CONFLICT ({keys}) {action}"
        return self._upserts[name]

    def _delete(self, name: str) -> str:
        if name not in self._deletes:
            table, quote = METADATA.tables[name], self._engine.dialect.identifier_preparer.quote
            keys = " AND ".join(f"{quote(column.name)} = {self._mark}" for column in table.primary_key)
            self._deletes[name] = f"DELETE FROM {quote(name)} WHERE {keys}"
        return self._deletes[name]

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


def _lock_file(engine: sa.Engine) -> int | None:
    path = sqlite_path(str(engine.url))
    return None if path is None else os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _entries(said: Sequence[Said], before: int) -> list[Entry]:
    return [
        Entry(
            position=before + number,
            body=word.body,
            subject=word.subject,
            project=word.project,
            principal=word.principal,
            time_us=word.time_us,
            run_id=word.run_id,
            seq=word.seq,
            causation=word.causation,
        )
        for number, word in enumerate(said, 1)
    ]


def _log_row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.position,
        entry.run_id,
        entry.seq,
        type_of(entry.body),
        entry.subject,
        entry.project,
        entry.principal,
        entry.causation,
        entry.time_us,
        encode_body(entry.body).decode(),
    )
