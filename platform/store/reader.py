"""What the store holds, for owners that rebuild and for followers that catch up: short read transactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa

from ..wire.types import Entry, decode_body
from .engine import reached
from .rows import RowCodec, codecs
from .schema import LOG, LOG_HEAD, METADATA

PAGE_MAX = 1_000

S = TypeVar("S", bound=msgspec.Struct)


class Picture:
    """The rows as one read transaction sees them, and the log's position that goes with them."""

    def __init__(self, connection: sa.Connection, known: dict[str, RowCodec[Any]]) -> None:
        self._connection, self._codecs = connection, known
        self.head = connection.execute(sa.select(LOG_HEAD)).mappings().one()

    @property
    def position(self) -> int:
        return int(self.head["position"])

    @property
    def store_epoch(self) -> str:
        return str(self.head["store_epoch"])

    def rows(self, table: str, *where: sa.ColumnElement[bool]) -> list[Any]:
        """The structs of `table` for which all of `where` holds, by primary key."""
        return self._read(self._codecs[table], where)

    def parts(self, table: str, struct: type[S], *where: sa.ColumnElement[bool]) -> list[S]:
        """Like `rows`, of the columns alone that are fields of the struct."""
        return self._read(RowCodec(METADATA.tables[table], struct), where)

    def of_keys(self, table: str, keys: Sequence[tuple[str, ...]]) -> list[Any]:
        """The structs of these primary keys that there are, each sought by itself: for a list of pairs SQLite looks
        through all of a table."""
        codec, dialect = self._codecs[table], self._connection.dialect
        quote = dialect.identifier_preparer.quote
        key = [quote(column.name) for column in codec.table.primary_key]
        marks = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * len(key))
        sql = (
            f"WITH wanted ({', '.join(key)}) AS (VALUES {', '.join([f'({marks})'] * len(keys))}) "
            f"SELECT {', '.join(f'it.{quote(column.name)}' for column in codec.columns)} FROM wanted "
            f"JOIN {quote(table)} it ON {' AND '.join(f'it.{name} = wanted.{name}' for name in key)}"
        )
        with closing(self._connection.exec_driver_sql(sql, tuple(chain.from_iterable(keys)))) as found:
            return [codec.struct_of(row) for row in cast("Iterable[tuple[Any, ...]]", found.cursor)]

    def _read(self, codec: RowCodec[S], where: Sequence[sa.ColumnElement[bool]]) -> list[S]:
        statement = sa.select(*codec.columns).where(*where).order_by(*codec.table.primary_key)
        with self.driven(statement) as rows:
            return [codec.struct_of(row) for row in rows]

    @contextmanager
    def driven(self, statement: sa.Select[Any]) -> Iterator[Iterable[tuple[Any, ...]]]:
        """The rows as the driver gives them, for who reads very many: JSON is text, msgpack is bytes, an enum's member
        is what it is called."""
        driver: Any = self._connection.dialect.loaded_dbapi
        with closing(self._connection.execute(statement)) as found:  # a row that cannot be read leaves no snapshot open
            try:
                yield cast("Iterable[tuple[Any, ...]]", found.cursor)
            except driver.OperationalError as error:
                raise sa.exc.OperationalError(str(statement), None, error) from error

    def select(self, statement: sa.Select[Any]) -> list[sa.Row[Any]]:
        return list(self._connection.execute(statement))

    def scalar(self, statement: sa.Select[Any]) -> Any:
        return self._connection.execute(statement).scalar()

    def scalars(self, statement: sa.Select[Any]) -> list[Any]:
        """The first column of every row."""
        return list(self._connection.execute(statement).scalars())

    def entries(self, *where: sa.ColumnElement[bool]) -> list[Entry]:
        """The entries of the log for which all of `where` holds, in order."""
        rows = self._connection.execute(sa.select(LOG).where(*where).order_by(LOG.c.position))
        return [entry for row in rows if (entry := entry_of(row)) is not None]


class Reader:
    """Blocking; safe for several threads, each call on a connection of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._codecs = dict(codecs())

    @contextmanager
    def picture(self) -> Iterator[Picture]:
        with reached(self._engine) as connection, connection.begin():
            yield Picture(connection, self._codecs)

    def select(self, statement: sa.Select[Any]) -> list[sa.Row[Any]]:
        with reached(self._engine) as connection:
            return list(connection.execute(statement))

    def position(self) -> int:
        with reached(self._engine) as connection:
            return int(connection.execute(sa.select(LOG_HEAD.c.position)).scalar_one())

    def entries(self, after: int, *, upto: int | None = None, limit: int = PAGE_MAX) -> list[Entry]:
        """The log after a position, in order, at most `limit`. Entries of an unknown type are passed over."""
        statement = sa.select(LOG).where(LOG.c.position > after).order_by(LOG.c.position).limit(limit)
        if upto is not None:
            statement = statement.where(LOG.c.position <= upto)
        with reached(self._engine) as connection:
            rows = connection.execute(statement).all()
        return [entry for row in rows if (entry := entry_of(row)) is not None]


def entry_of(row: Any) -> Entry | None:
    """The entry of a full row of the log; None where this version does not know its type."""
    try:
        body = decode_body(row.body)
    except msgspec.ValidationError:
        return None
    return Entry(
        position=row.position,
        body=body,
        subject=row.subject,
        project=row.project,
        principal=row.principal,
        time_us=row.time_us,
        run_id=row.run_id,
        seq=row.seq,
        causation=row.causation,
        labels=None if row.labels is None else msgspec.json.decode(row.labels, type=dict[str, str]),
    )
