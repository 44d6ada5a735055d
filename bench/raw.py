"""What an owner commits, kept and written once more by nothing but the driver: the floor of what is durable."""

from __future__ import annotations

import time
from typing import Any

from headwater.actors.journal import Journal
from headwater.store.engine import create, open_engine
from headwater.store.rows import codecs
from headwater.store.run_terms import Indexed
from headwater.store.session import Session
from headwater.store.statements import Rows, Statements
from headwater.store.writer import Writer, log_row

Commit = tuple[int, list[tuple[Rows, list[tuple[Any, ...]]]]]


class Recorded(Journal):
    """Keeps what was committed, to be written once more."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._kept: list[tuple[dict[str, list[Any]], list[Any]]] = []

    async def commit(self, changes: Any, said: Any, guards: Any) -> Any:
        kept = {table: [row for row in rows.values() if row is not None] for table, rows in changes.items()}
        entries = await super().commit(changes, said, guards)
        self._kept.append((kept, entries))
        return entries

    def rows(self, sql: Statements) -> list[Commit]:
        known, indexed = codecs(), Indexed()
        commits: list[Commit] = []
        for tables, entries in self._kept:
            work = [(sql.upsert(table), [known[table].values(row) for row in rows]) for table, rows in tables.items()]
            work.append((sql.insert_terms, list(indexed.owed(tables.get("runs", [])))))
            work.append((sql.insert_log, [log_row(entry) for entry in entries]))
            commits.append((len(entries), [(text, rows) for text, rows in work if rows]))
        return commits


def written(url: str, commits: list[Commit]) -> float:
    """Seconds that the driver takes for the same rows in the same transactions."""
    create(url, store_epoch="bench")
    engine = open_engine(url)
    session, head = Session(engine), Statements(engine.dialect).take_head("conductor")
    began = time.perf_counter()
    for said, work in commits:
        with session.transaction() as transaction:
            transaction.first(head, (said, 0))
            for text, rows in work:
                transaction.many(Rows(text.each), rows)
    took_s = time.perf_counter() - began
    engine.dispose()
    return took_s
