"""State that can go back.

A machine keeps what it knows in ledgers. Every change is noted in the machine's one book, so that
a decision that raised, or a commit that did not land, is undone exactly. The same notes say which
rows the next transaction writes: a ledger with a table is written, one without lives in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
M = TypeVar("M")

_ABSENT: Final = object()
_Note = tuple[dict[Any, Any] | None, str, Any, Any]
"""The rows of a ledger, its table, a key, and what was there before; without rows, what undoes it."""


class Away(Exception):
    """A decision needs what lies in the store alone: it is made again once these runs are back in memory."""

    def __init__(self, run_ids: Iterable[str]) -> None:
        self.run_ids = frozenset(run_ids)
        super().__init__(*sorted(self.run_ids)[:3])


class Book:
    """The notes of all ledgers of one machine, in the order of the changes."""

    def __init__(self) -> None:
        self._notes: list[_Note] = []
        self._changed: dict[str, dict[Any, Any]] | None = None

    def mark(self) -> int:
        return len(self._notes)

    def rollback(self, mark: int = 0) -> None:
        """Everything as it was at `mark`; without one, as it was when last settled."""
        self._changed = None
        while len(self._notes) > mark:
            rows, _, key, old = self._notes.pop()
            if rows is None:
                old()
            elif old is _ABSENT:
                rows.pop(key, None)
            else:
                rows[key] = old

    def changes(self) -> dict[str, dict[Any, Any]]:
        """The rows to write by table and key, the last value of each; None is a row to delete."""
        if self._changed is not None:
            return self._changed
        changed: dict[str, dict[Any, Any]] = {}
        for rows, table, key, _ in self._notes:
            if rows is not None and table:
                changed.setdefault(table, {})[key] = rows.get(key)
        self._changed = changed
        return changed

    def settle(self) -> None:
        """Forget how to go back: what was noted is durable."""
        self._notes.clear()
        self._changed = None

    def note(self, undo: Callable[[], None]) -> None:
        """`undo` takes a change back that no ledger has made."""
        self._notes.append((None, "", None, undo))

    def note_row(self, rows: dict[Any, Any], table: str, key: Any, old: Any) -> None:
        """That `rows[key]` was `old` before it changed."""
        self._changed = None
        self._notes.append((rows, table, key, old))


class Ledger(Generic[K, V]):
    """A table of values by key, in no promised order. `table` names where its rows are written; empty for
    memory alone."""

    def __init__(self, book: Book, table: str = "") -> None:
        self.table = table
        self._book = book
        self._rows: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        return self._rows.get(key)

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def values(self) -> list[V]:
        return list(self._rows.values())

    def load(self, key: K, value: V) -> None:
        """Put what is durable already: nothing to write, nothing to undo."""
        self._rows[key] = value

    def put(self, key: K, value: V) -> None:
        self._book.note_row(self._rows, self.table, key, self._rows.get(key, _ABSENT))
        self._rows[key] = value

    def remove(self, key: K) -> None:
        """The row goes, in memory and in the store."""
        if key in self._rows:
            self._book.note_row(self._rows, self.table, key, self._rows.pop(key))

    def forget(self, key: K) -> None:
        """Out of memory without a note; the row stays. Only for what was settled."""
        self._rows.pop(key, None)


class Groups(Generic[K, M]):
    """Members by group, in the order they joined: an index that goes back with its book."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._groups: dict[K, dict[M, int]] = {}
        self._joined = 0

    def of(self, group: K) -> list[M]:
        return list(self._groups.get(group, ()))

    def first(self, group: K, most: int) -> list[M]:
        """The first of the group, at most so many."""
        return list(islice(self._groups.get(group, ()), most))

    def has(self, group: K, member: M) -> bool:
        return member in self._groups.get(group, ())

    def groups(self) -> list[K]:
        """Those that have members, by whose first joined first."""
        return sorted(self._groups, key=lambda group: next(iter(self._groups[group].values())))

    def count(self, group: K) -> int:
        return len(self._groups.get(group, ()))

    def load(self, group: K, member: M) -> None:
        self._joined += 1
        self._groups.setdefault(group, {})[member] = self._joined

    def add(self, group: K, member: M) -> None:
        if member not in self._groups.get(group, ()):
            self.load(group, member)
            self._book.note(lambda: self._drop(group, member))

    def discard(self, group: K, member: M) -> None:
        joined = self._groups.get(group, {}).get(member)
        if joined is not None:
            self._drop(group, member)
            self._book.note(lambda: self._put_back(group, member, joined))

    def forget(self, group: K) -> None:
        self._groups.pop(group, None)

    def _put_back(self, group: K, member: M, joined: int) -> None:
        members = [*self._groups.get(group, {}).items(), (member, joined)]
        self._groups[group] = dict(sorted(members, key=lambda one: one[1]))

    def _drop(self, group: K, member: M) -> None:
        members = self._groups[group]
        members.pop(member, None)
        if not members:
            del self._groups[group]
