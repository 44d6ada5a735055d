"""Ledgers of what belongs to runs, some of which are away: rows in the store, and nothing here.

Whoever asks for anything of such a run gets `Away`; the shell reads its rows, has the machine take it back, and the
event is decided again. So no decision can mistake a run that only waits for one that is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ..ledger import Away, Book, K, Ledger, V


class Rest(msgspec.Struct, frozen=True):
    """What is kept of a run that is away: enough to tell whether an event is one that it waits for, by the number of
    the command and the filter. Its timers stay where all timers are."""

    project: str
    waits: tuple[tuple[int, str | None], ...] = ()


class OfRuns(Ledger[K, V]):
    def __init__(self, book: Book, table: str, run_of: Callable[[K], str], away: Mapping[str, Rest]) -> None:
        super().__init__(book, table)
        self._run_of, self._away = run_of, away

    def known(self, key: K) -> V | None:
        """The row where it is here; for those who only look."""
        return super().get(key)

    def get(self, key: K) -> V | None:
        row = super().get(key)
        if row is None:
            self._missed(key)
        return row

    def __getitem__(self, key: K) -> V:
        row = self.get(key)
        if row is None:
            raise KeyError(key)
        return row

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._missed(key)  # type: ignore[arg-type]

    def _missed(self, key: K) -> bool:
        if self._away and (run_id := self._run_of(key)) in self._away:
            raise Away((run_id,))
        return False
