"""The one way into the store: an owner's transaction.

It begins by taking the log's head row for its owner's epoch: one statement is lock, numbering and
fence. A writer whose epoch was taken over writes nothing and learns that it is fenced. Guards are
asked inside the transaction, from rows: one that objects ends the transaction before anything is
written. An error of the database leaves in doubt whether the commit landed; `landed` settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from ..errors import HeadwaterError, Unavailable
from ..wire.types import Entry, Said, encode_body, type_of
from .claim import held_by
from .rows import RowCodec, codecs
from .run_terms import Indexed
from .schema import LOG_HEAD
from .session import Session, Transaction
from .statements import Statements

Changes = Mapping[str, Mapping[Any, msgspec.Struct | None]]
Guard = Callable[[sa.Connection], str]
"""Looks at rows inside the transaction; an empty answer lets it go on."""


class Fenced(HeadwaterError):
    """Another incarnation of this owner has taken over: this one must end."""


class CommitFailed(Unavailable):
    """The transaction ended in an error; it may or may not have landed."""


class Unwritable(HeadwaterError):
    """A row or a word has no form that the store could keep; nothing was written."""


class Objected(HeadwaterError):
    """The guard number `index` objected; nothing was written."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"Guard {index} objects: {reason}")
        self.index, self.reason = index, reason


class Writer:
    """Commits for one owner. Blocking, for one thread; it keeps its connection until `close`.

    `instance` is the platform whose lease on the database must be in force where an epoch is taken (see `claim`);
    empty where it needs none.
    """

    def __init__(self, engine: sa.Engine, owner: str, *, instance: str = "") -> None:
        self._owner = owner
        self._in_force = held_by(instance) if instance else sa.true()
        self._session = Session(engine)
        self._sql = Statements(engine.dialect)
        self._take_head = self._sql.take_head(owner)
        self._codecs: Mapping[str, RowCodec[Any]] = codecs()
        self._epoch_column, self._commits_column = LOG_HEAD.c[f"{owner}_epoch"], LOG_HEAD.c[f"{owner}_commits"]
        self._indexed = Indexed()
        self.epoch = 0
        self.commits = 0

    def take_epoch(self) -> int:
        """This owner's new epoch. It waits for a commit in flight; whoever held the old one is fenced.

        Raises Unavailable where the database does not answer, Fenced where another platform has its lease.
        """
        row = self._raise_epoch(self._in_force)
        if row is None:
            raise self._fenced()
        self.epoch, self.commits = row
        return self.epoch

    def commit(self, changes: Changes, said: Sequence[Said] = (), guards: Sequence[Guard] = ()) -> list[Entry]:
        """Writes it all, or nothing; the entries as they now stand in the log.

        Raises Fenced, Objected or Unwritable (nothing was written), or CommitFailed (in doubt: ask `landed`).
        """
        try:
            with self._forgetting(), self._session.transaction() as work:
                head = work.first(self._take_head, (len(said), self.epoch))
                if head is None:
                    raise self._fenced()
                for index, guard in enumerate(guards):
                    if reason := guard(work.connection):
                        raise Objected(index, reason)
                entries = _entries(said, head[0] - len(said))
                self._write(work, changes)
                if entries:
                    work.many(self._sql.insert_log, [log_row(entry) for entry in entries])
        except self._session.data_errors as error:
            raise Unwritable(f"What was to be written cannot be encoded: {error}") from error
        except self._session.errors as error:
            raise CommitFailed(f"The database did not take the transaction: {error}") from error
        self.commits += 1
        return entries

    def forget(self, forget: Callable[[sa.Connection], int]) -> int:
        """What `forget` says it took away, in one transaction of this owner. Raises Fenced or CommitFailed."""
        try:
            with self._session.transaction() as work:
                if work.first(self._take_head, (0, self.epoch)) is None:
                    raise self._fenced()
                count = forget(work.connection)
        except self._session.errors as error:
            raise CommitFailed(f"The database did not take the transaction: {error}") from error
        self.commits += 1
        return count

    def landed(self) -> bool:
        """Whether the transaction in doubt is there. Raises the epoch first, which shuts it out if it is not.

        Only its own epoch: one that was taken over learns that it is fenced, and leaves the new owner alone.
        Raises Unavailable where the database does not answer.
        """
        before = self.commits
        row = self._raise_epoch(self._epoch_column == self.epoch)
        if row is None:
            raise self._fenced()
        self.epoch, self.commits = row
        return self.commits > before

    def close(self) -> None:
        self._session.close()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Which runs are indexed is known only while all goes well."""
        try:
            yield
        except BaseException:
            self._indexed.forget()
            raise

    def _raise_epoch(self, where: sa.ColumnElement[bool]) -> tuple[int, int] | None:
        epoch, commits = self._epoch_column, self._commits_column
        statement = sa.update(LOG_HEAD).where(where).values({epoch: epoch + 1}).returning(epoch, commits)
        try:
            with self._session.transaction() as work:
                row = work.connection.execute(statement).first()
        except self._session.errors as error:
            remedy = "Check that it runs, and its disk."
            raise Unavailable(f"The database does not let the {self._owner} in: {error}", remedy=remedy) from error
        return None if row is None else (row[0], row[1])

    def _fenced(self) -> Fenced:
        return Fenced(f"The {self._owner} of epoch {self.epoch} was taken over", remedy="This process ends itself.")

    def _write(self, work: Transaction, changes: Changes) -> None:
        for table, rows in changes.items():
            codec = self._codecs[table]
            kept = [codec.values(row) for row in rows.values() if row is not None]
            gone = [key if isinstance(key, tuple) else (key,) for key, row in rows.items() if row is None]
            if kept:
                work.many(self._sql.upsert(table), kept)
            if gone:
                work.many(self._sql.delete(table), gone)
        if owed := self._indexed.owed(changes.get("runs", {}).values()):
            work.many(self._sql.insert_terms, owed)


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
            labels=word.labels,
        )
        for number, word in enumerate(said, 1)
    ]


def log_row(entry: Entry) -> tuple[Any, ...]:
    """The values of an entry's row, in the order of the log's columns."""
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
        None if entry.labels is None else msgspec.json.encode(entry.labels).decode(),
    )
