"""Quota charged for very many gangs at once: what each is charged is worked out once, and paid once a project."""

from __future__ import annotations

from .admission import amounts_of
from .messages import Demand
from .usage import Usage


class Charges:
    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._amounts: dict[tuple[Demand, str | None, int], dict[str, int]] = {}
        self._sums: dict[tuple[str, bool], dict[str, int]] = {}  # by project, and whether it may run only once

    def amounts(self, demand: Demand, flavour: str | None, ranks: int) -> dict[str, int]:
        key = demand, flavour, ranks
        found = self._amounts.get(key)
        if found is None:
            found = self._amounts[key] = amounts_of(demand, flavour, ranks)
        return found

    def add(self, project: str, amounts: dict[str, int], *, once: bool) -> None:
        """To be paid with the next `pay`, as if by one gang: to whom it is lent does not depend on the parts."""
        sums = self._sums.setdefault((project, once), {})
        for flavour, amount in amounts.items():
            sums[flavour] = sums.get(flavour, 0) + amount

    def pay(self) -> None:
        for (project, once), sums in self._sums.items():
            self._usage.add(project, sums)
            if once:
                self._usage.add_once(project, sums)
        self._sums.clear()
