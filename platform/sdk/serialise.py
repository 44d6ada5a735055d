"""Values in transit: pickle protocol 5, in which a future stands as the ordinal of the step that will give it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..errors import HeadwaterError, InvalidInput
from .future import Future, execution_of, ordinal_of

PATH_MAX: Final = 30
CHILDREN_MAX: Final = 1_000
REMEDY: Final = "Pass what it is made from: open files, locks, connections and lambdas stay in the step"


@dataclass(frozen=True, slots=True)
class Dumped:
    """`needs` are the ordinals of the futures inside, each once, in order."""

    content: bytes
    needs: tuple[int, ...] = ()


def dumps(value: object, *, place: str, execution: object = None) -> Dumped:
    """`value` as bytes. Raises InvalidInput naming the path from `place` to what cannot be sent."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, execution)
    try:
        pickler.dump(value)
    except HeadwaterError:
        raise
    except Exception as error:
        raise InvalidInput(_blame(value, place, error, execution), remedy=REMEDY) from None
    return Dumped(buffer.getvalue(), tuple(sorted(pickler.needs)))


def loads(content: bytes, resolve: Callable[[int], object] | None = None) -> Any:
    """The value, with `resolve(ordinal)` in the place of each future."""
    return _Unpickler(io.BytesIO(content), resolve).load()


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, execution: object) -> None:
        super().__init__(buffer, protocol=5)
        self.needs: set[int] = set()
        self._execution = execution

    def persistent_id(self, item: object) -> int | None:
        if type(item) is not Future:
            return None
        if execution_of(item) is not self._execution:
            raise InvalidInput(f"{item!r} belongs to another run", remedy="Pass its .result()")
        self.needs.add(ordinal_of(item))
        return ordinal_of(item)


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, resolve: Callable[[int], object] | None) -> None:
        super().__init__(buffer)
        self._resolve = resolve

    def persistent_load(self, key: Any) -> object:
        if self._resolve is None:
            raise pickle.UnpicklingError(f"the result of command {key} is not at hand")
        return self._resolve(key)


def _blame(value: object, place: str, error: Exception, execution: object) -> str:
    path, culprit, cause = place, value, error
    for _ in range(PATH_MAX):
        found = _failing_child(culprit, execution)
        if found is None:
            break
        step, culprit, cause = found
        path += step
    return f"{path} is a {type(culprit).__module__}.{type(culprit).__qualname__}, which cannot be sent ({cause})"


def _failing_child(value: object, execution: object) -> tuple[str, object, Exception] | None:
    for _, (step, child) in zip(range(CHILDREN_MAX), _children(value), strict=False):
        try:
            _Pickler(io.BytesIO(), execution).dump(child)
        except Exception as error:
            return step, child, error
    return None


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", child) for key, child in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", child) for index, child in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("{…}", child) for child in value)
    elif not isinstance(value, type) and not callable(value):
        held = getattr(value, "__dict__", None)
        if isinstance(held, dict):
            yield from ((f".{name}", child) for name, child in held.items())
        for slot in getattr(type(value), "__slots__", ()):
            if hasattr(value, slot):
                yield f".{slot}", getattr(value, slot)
