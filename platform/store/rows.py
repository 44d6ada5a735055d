"""Structs to rows and back, by the table's own columns."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import sqlalchemy as sa

from .schema import METADATA, JsonText, Packed

S = TypeVar("S", bound=msgspec.Struct)

_JSON: Final = msgspec.json.Encoder()
_PACK: Final = msgspec.msgpack.Encoder()


class RowCodec(Generic[S]):
    """Encodes a struct into the values of the columns that its fields name, in their order, and decodes such a row."""

    def __init__(self, table: sa.Table, struct: type[S]) -> None:
        self.table, self.struct = table, struct
        self.columns = [table.columns[name] for name in struct.__struct_fields__]
        hints = typing.get_type_hints(struct)
        found = enumerate(_encoder(column, hints[column.name]) for column in self.columns)
        self._encoders = [(index, encode) for index, encode in found if encode is not None]
        read = ((column.name, _decoder(column, hints[column.name])) for column in self.columns)
        self._decoders = [(name, decode) for name, decode in read if decode is not None]
        self._fields = struct.__struct_fields__

    def values(self, row: S) -> tuple[Any, ...]:
        values = list(msgspec.structs.astuple(row))
        for index, encode in self._encoders:
            values[index] = encode(values[index])
        return tuple(values)

    def struct_of(self, row: Sequence[Any]) -> S:
        """The struct of a row, its columns in the order of the fields."""
        fields = dict(zip(self._fields, row, strict=True))
        for field, decode in self._decoders:
            value = fields[field]
            if value is not None:
                fields[field] = decode(value)
        return self.struct(**fields)


def codecs() -> Mapping[str, RowCodec[Any]]:
    """A codec for each table that holds structs, by the table's name."""
    found = {name: RowCodec(table, table.info["struct"]) for name, table in METADATA.tables.items() if table.info}
    assert all(codec.columns == list(codec.table.columns) for codec in found.values())
    return found


def _encoder(column: sa.Column[Any], hint: Any) -> Callable[[Any], Any] | None:
    """None where the value goes as it is."""
    if isinstance(column.type, JsonText):
        return lambda value: None if value is None and column.nullable else _JSON.encode(value).decode()
    if isinstance(column.type, Packed):
        return lambda value: None if value is None else _PACK.encode(value)
    if isinstance(column.type, sa.Text) and hint not in (str, str | None):  # an enum's member
        return lambda value: None if value is None else str(value)
    return None


def _decoder(column: sa.Column[Any], hint: Any) -> Callable[[Any], Any] | None:
    """For values other than None; None where the value comes as it is."""
    if isinstance(column.type, JsonText):
        return msgspec.json.Decoder(hint).decode
    if isinstance(column.type, Packed):
        return msgspec.msgpack.Decoder(hint).decode
    if isinstance(column.type, sa.Text) and hint not in (str, str | None):
        return _Words(hint).read
    if isinstance(column.type, sa.LargeBinary):
        return bytes
    return None


class _Words:
    """The few values of a column of text, an enum's members say, kept by what the database has for them."""

    def __init__(self, hint: Any) -> None:
        self._hint = hint
        self._known: dict[str, Any] = {}

    def read(self, value: str) -> Any:
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = msgspec.convert(value, self._hint)
        return known
