"""The writes as plain SQL, made once for each table: what a hot path sends needs no compiler."""

from __future__ import annotations

import sqlalchemy as sa

from .schema import LOG, METADATA, RUN_TERMS


class Statements:
    """SQL in the driver's own parameter style, the values in the order of the table's columns, keys in the key's."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._quote = dialect.identifier_preparer.quote
        self._upserts: dict[str, str] = {}
        self._deletes: dict[str, str] = {}
        self.insert_log = self._insert(LOG)
        self.insert_terms = f"{self._insert(RUN_TERMS)} ON CONFLICT DO NOTHING"

    def take_head(self, owner: str) -> str:
        """Lock, numbering and fence in one: takes how many entries follow and the epoch, gives the last position."""
        return (
            f"UPDATE log_head SET position = position + {self.mark}, {owner}_commits = {owner}_commits + 1 "
            f"WHERE {owner}_epoch = {self.mark} RETURNING position"
        )

    def upsert(self, name: str) -> str:
        if name not in self._upserts:
            table = METADATA.tables[name]
            keys = ", ".join(self._quote(column.name) for column in table.primary_key)
            rest = [self._quote(column.name) for column in table.columns if not column.primary_key]
            sets = ", ".join(f"{column} = excluded.{column}" for column in rest)
            action = f"DO UPDATE SET {sets}" if sets else "DO NOTHING"
            self._upserts[name] = f"{self._insert(table)} ON CONFLICT ({keys}) {action}"
        return self._upserts[name]

    def delete(self, name: str) -> str:
        if name not in self._deletes:
            keys = " AND ".join(
                f"{self._quote(column.name)} = {self.mark}" for column in METADATA.tables[name].primary_key
            )
            self._deletes[name] = f"DELETE FROM {self._quote(name)} WHERE {keys}"
        return self._deletes[name]

    def _insert(self, table: sa.Table) -> str:
        columns = ", ".join(self._quote(column.name) for column in table.columns)
        marks = ", ".join([self.mark] * len(table.columns))
        return f"INSERT INTO {self._quote(table.name)} ({columns}) VALUES ({marks})"
