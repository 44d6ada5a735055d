"""Values in transit: as their artifact codec writes them, otherwise pickle protocol 5 with large buffers beside it.

In a pickle a future stands as the ordinal of the step that will give it.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from ...artifacts import codec as codecs
from ...artifacts.encoded import Encoded
from ...artifacts.frames import framed, unframed
from ...errors import HeadwaterError, InvalidInput
from ...wire.terms import JSON
from ..future import Future, execution_of, ordinal_of

PATH_MAX: Final = 30
CHILDREN_MAX: Final = 1_000
BESIDE_BYTES: Final = 1 << 14  # a smaller buffer stays in the pickle
PREVIEW_MAX_BYTES: Final = 1 << 10
REMEDY: Final = "Pass what it is made from: open files, locks, connections and lambdas stay in the step"


def encode(value: object, *, place: str) -> Encoded:
    """`value` as the platform keeps it. Raises InvalidInput naming the path from `place` to what cannot be sent."""
    encoded = codecs.encode(value)
    return encoded if encoded is not None else _described(value, dumps(value, place=place))


def dumps(value: object, *, place: str, execution: object = None) -> Encoded:
    """`value` pickled, with the futures of `execution` inside as what it `needs`; raises as `encode` does."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, execution)
    try:
        pickler.dump(value)
        encoded = framed(buffer.getvalue(), pickler.buffers)
    except HeadwaterError:
        raise
    except Exception as error:
        raise InvalidInput(_blame(value, place, error, execution), remedy=REMEDY) from None
    needs = tuple(sorted(pickler.needs))
    return dataclasses.replace(encoded, needs=needs)


def decode(codec: str, content: memoryview, resolve: Callable[[int], object] | None = None) -> Any:
    """The value, with `resolve(ordinal)` in the place of each future. Arrays and tables use `content` in place."""
    match codec:
        case "pickle":
            return loads(content, resolve)
        case "frames":
            stream, buffers = unframed(content)
            return _Unpickler(io.BytesIO(stream), resolve, buffers).load()
        case "json":
            return msgspec.json.decode(content)
    return codecs.decode(codec, content)


def loads(content: bytes | memoryview, resolve: Callable[[int], object] | None = None) -> Any:
    """The value of a pickle without frames."""
    return _Unpickler(io.BytesIO(content), resolve).load()


def preview(value: object) -> JSON:
    """`value` as JSON if it has that form and is small, otherwise None."""
    try:
        encoded = msgspec.json.encode(value)
        return msgspec.json.decode(encoded) if len(encoded) <= PREVIEW_MAX_BYTES else None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def with_inputs(arguments: Encoded, given: Mapping[str, object]) -> Encoded:
    """The encoded arguments of a call, saying what each of them is: the step that gives it, or its type and value."""
    about: dict[str, JSON] = {}
    for name, value in given.items():
        fed = {"type": "future", "ordinal": ordinal_of(value)} if type(value) is Future else None
        about[name] = fed or _about(value, arguments.size_bytes)
    return dataclasses.replace(arguments, about=about)


def _described(value: object, encoded: Encoded) -> Encoded:
    return dataclasses.replace(encoded, about=_about(value, encoded.size_bytes))


def _about(value: object, size_bytes: int) -> dict[str, JSON]:
    """The value's type, and the value itself where it and what it came with is small and has a form as JSON."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    seen = preview(value) if size_bytes <= PREVIEW_MAX_BYTES else None
    return {"type": name} if seen is None else {"type": name, "value": seen}


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, execution: object) -> None:
        super().__init__(buffer, protocol=5, buffer_callback=self._stays)
        self.buffers: list[memoryview] = []
        self.needs: set[int] = set()
        self._execution = execution

    def _stays(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer is written into the pickle."""
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes >= BESIDE_BYTES:
            self.buffers.append(view)
            return False
        return True

    def persistent_id(self, item: object) -> int | None:
        if type(item) is not Future:
            return None
        if execution_of(item) is not self._execution:
            raise InvalidInput(f"{item!r} belongs to another run", remedy="Pass its .result()")
        self.needs.add(ordinal_of(item))
        return ordinal_of(item)


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, stream: io.BytesIO, resolve: Callable[[int], object] | None, buffers: list[memoryview] | None = None
    ) -> None:
        super().__init__(stream, buffers=buffers)
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
