"""A noun of the client: called it lists, indexed it gives the one of that name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

L = TypeVar("L")
H = TypeVar("H")


class Noun(Generic[L, H]):
    """`client.models()` lists them, `client.models["delay"]` is the one of that name."""

    def __init__(self, listing: Callable[..., L], handle: Callable[[str], H]) -> None:
        self._listing, self._handle = listing, handle

    def __call__(self, **filters: Any) -> L:
        return self._listing(**filters)

    def __getitem__(self, name: str) -> H:
        return self._handle(name)
