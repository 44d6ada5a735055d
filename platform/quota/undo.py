"""What it takes to go back: the inverse of each change, in the order in which they were made.

A machine that owns mutable state writes every change through here, or notes the inverse itself. Nothing
is kept before the first mark, so a machine that is never rolled back pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Undo:
    def __init__(self) -> None:
        self._inverses: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        self._on = False

    def mark(self) -> None:
        self._inverses.clear()
        self._on = True

    def depth(self) -> int:
        """A place to come back to with `back_to`, within the current mark."""
        return len(self._inverses)

    def back_to(self, depth: int) -> None:
        while len(self._inverses) > depth:
            inverse, arguments = self._inverses.pop()
            inverse(*arguments)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What is done inside is taken back at the end."""
        depth, on = len(self._inverses), self._on
        self._on = True
        try:
            yield
        finally:
            self.back_to(depth)
            self._on = on

    def note(self, inverse: Callable[..., object], *arguments: object) -> None:
        if self._on:
            self._inverses.append((inverse, arguments))

    def put(self, mapping: dict[Key, Value], key: Key, value: Value) -> None:
        if key in mapping:
            self.note(mapping.__setitem__, key, mapping[key])
        else:
            self.note(mapping.pop, key)
        mapping[key] = value

    def put_attribute(self, owner: object, name: str, value: object) -> None:
        self.note(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)

    def pop(self, mapping: dict[Key, Value], key: Key) -> Value:
        value = mapping.pop(key)
        self.note(mapping.__setitem__, key, value)
        return value
