"""The writes as plain SQL, made once for each table: what a hot path sends needs no compiler.

PostgreSQL takes many rows as one JSON text and unpacks them itself: a seventh of the driver's work for each row. Not
where a column holds bytes or floats, which JSON cannot carry as they are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import sqlalchemy as sa

from .schema import LOG, METADATA, RUN_TERMS, JsonText


class Rows(NamedTuple):
    """What is done with each of many rows; `packed` does it with all of them in one JSON text, where it can be."""

    each: str
    packed: str = ""


_JSON_KINDS: Final = {sa.BigInteger: "bigint", sa.Integer: "integer", sa.Text: "text", JsonText: "text"}


class Statements:
    """SQL in the driver's own parameter style, the values in the order of the table's columns, keys in the key's."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._quote = dialect.identifier_preparer.quote
        self._unpacks = dialect.name == "postgresql"
        self._upserts: dict[str, Rows] = {}
        self._deletes: dict[str, Rows] = {}
        self.insert_log = self._insert(LOG, "")
        self.insert_terms = self._insert(RUN_TERMS, " ON CONFLICT DO NOTHING")

    def take_head(self, owner: str) -> str:
        """Lock, numbering and fence in one: takes how many entries follow and the epoch, gives the last position."""
        return (
            f"UPDATE log_head SET position = position + {self.mark}, {owner}_commits = {owner}_commits + 1 "
            f"WHERE {owner}_epoch = {self.mark} RETURNING position"
        )

    def upsert(self, name: str) -> Rows:
        if name not in self._upserts:
            table = METADATA.tables[name]
            keys = ", ".join(self._quote(column.name) for column in table.primary_key)
            fixed = table.info["fixed"]
            changing = [column for column in table.columns if not column.primary_key and column.name not in fixed]
            rest = [self._quote(column.name) for column in changing]
            sets = ", ".join(f"{column} = excluded.{column}" for column in rest)
            action = f"DO UPDATE SET {sets}" if sets else "DO NOTHING"
            self._upserts[name] = self._insert(table, f" ON CONFLICT ({keys}) {action}")
        return self._upserts[name]

    def delete(self, name: str) -> Rows:
        if name not in self._deletes:
            keys = " AND ".join(
                f"{self._quote(column.name)} = {self.mark}" for column in METADATA.tables[name].primary_key
            )
            self._deletes[name] = Rows(f"DELETE FROM {self._quote(name)} WHERE {keys}")
        return self._deletes[name]

    def _insert(self, table: sa.Table, conflict: str) -> Rows:
        columns = ", ".join(self._quote(column.name) for column in table.columns)
        marks = ", ".join([self.mark] * len(table.columns))
        into = f"INSERT INTO {self._quote(table.name)} ({columns})"
        kinds = [_JSON_KINDS.get(type(column.type)) for column in table.columns]
        packed = ""
        if self._unpacks and None not in kinds:
            values = ", ".join(f"(row->>{index})::{kind}" for index, kind in enumerate(kinds))
            packed = f"{into} SELECT {values} FROM json_array_elements({self.mark}::json) row WHERE true{conflict}"
        return Rows(f"{into} VALUES ({marks}){conflict}", packed)
