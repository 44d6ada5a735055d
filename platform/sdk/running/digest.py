"""A value's digest, the same in every process: canonical, by value, never by identity or insertion order of sets.

Each value is written as a type tag, a length and its bytes. Sets and dictionaries are sorted by the digest of
their items; a future counts as its key. What cannot be written by value has no digest and is not compared.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import hashlib
import pathlib
import uuid
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec

from ..future import Future, key_of

DEPTH_MAX: Final = 100


See = Callable[[Any], Any]


def digest(value: object) -> str | None:
    """Hex SHA-256 of the value, or None where some part of it cannot be compared."""
    return _hex(value, lambda part: part)


def content_digest(value: object) -> str | None:
    """The same by what is behind the value, where its type tells that by `__content__`: a table is its snapshot."""
    return _hex(value, _content)


def _hex(value: object, see: See) -> str | None:
    try:
        return _digest(value, see, 0).hex()
    except _Opaque:
        return None


def _content(part: Any) -> Any:
    if not hasattr(type(part), "__content__"):
        return part
    content = part.__content__()
    if content is None:
        raise _Opaque
    return type(part).__qualname__, content


class _Opaque(Exception):
    """There is no way to write this value by value."""


def _digest(value: object, see: See, depth: int) -> bytes:
    if depth > DEPTH_MAX:
        raise _Opaque
    value = see(value)
    kind = type(value)
    if (written := _LEAVES.get(kind)) is not None:
        return _sealed(kind.__name__, written(value))
    parts = _parts(value, see, depth + 1)
    return _sealed(f"{kind.__module__}.{kind.__qualname__}", b"".join(parts))


def _parts(value: Any, see: See, depth: int) -> list[bytes]:
    kind = type(value)
    if kind in (list, tuple):
        return [_digest(item, see, depth) for item in value]
    if kind in (set, frozenset):
        return sorted(_digest(item, see, depth) for item in value)
    if kind is dict:
        return sorted(_digest(key, see, depth) + _digest(item, see, depth) for key, item in value.items())
    if kind is Future:
        return [key_of(value).encode()]
    if isinstance(value, enum.Enum):
        return [value.name.encode()]
    names = _field_names(value, kind)
    if names is None:
        return _foreign(value, kind)
    return [_sealed(name, _digest(getattr(value, name), see, depth)) for name in names]


def _field_names(value: Any, kind: type) -> tuple[str, ...] | None:
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return value.__struct_fields__ if isinstance(value, msgspec.Struct) else None


def _foreign(value: Any, kind: type) -> list[bytes]:
    if kind.__module__ == "numpy" and hasattr(value, "dtype") and not value.dtype.hasobject:
        return [str(value.dtype).encode(), str(value.shape).encode(), value.tobytes()]
    if isinstance(value, pathlib.PurePath):
        return [str(value).encode()]
    raise _Opaque


def _sealed(tag: str, content: bytes) -> bytes:
    return hashlib.sha256(f"{tag}\0{len(content)}\0".encode() + content).digest()


def _text(value: Any) -> bytes:
    return repr(value).encode()


def _utf8(value: Any) -> bytes:
    encoded: bytes = value.encode("utf-8", "surrogatepass")
    return encoded


_LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): _text,
    bool: _text,
    int: _text,
    float: _text,  # NaN is NaN here, and 0.0 is not -0.0
    complex: _text,
    str: _utf8,
    bytes: bytes,
    bytearray: bytes,
    datetime.datetime: _text,
    datetime.date: _text,
    datetime.time: _text,
    datetime.timedelta: _text,
    decimal.Decimal: _text,
    uuid.UUID: _text,
}
