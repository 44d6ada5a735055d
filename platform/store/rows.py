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
    """Encodes a struct into the values of its table's columns, in their order, and decodes a row."""

    def __init__(self, table: sa.Table, struct: type[S]) -> None:
        self.table, self.struct = table, struct
        hints = typing.get_type_hints(struct)
        assert tuple(table.columns.keys()) == struct.__struct_fields__, table.name
        found = enumerate(_encoder(column, hints[column.name]) for column in table.columns)
        self._encoders = [(index, encode) for index, encode in found if encode is not None]
        self._decoders = [_decoder(column, hints[column.name]) for column in table.columns]
        self._fields = [column.name for column in table.columns]

    def values(self, row: S) -> tuple[Any, ...]:
        values = list(msgspec.structs.astuple(row))
        for index, encode in self._encoders:
            values[index] = encode(values[index])
        return tuple(values)

    def struct_of(self, row: Sequence[Any]) -> S:
        """The struct of a full row, its columns in the order of the table."""
        fields = {field: decode(value) for field, decode, value in zip(self._fields, self._decoders, row, strict=True)}
        return self.struct(**fields)


def codecs() -> Mapping[str, RowCodec[Any]]:
    """A codec for each table that holds structs, by the table's name."""
    return {name: RowCodec(table, table.info["struct"]) for name, table in METADATA.tables.items() if table.info}


def _encoder(column: sa.Column[Any], hint: Any) -> Callable[[Any], Any] | None:
    """None where the value goes as it is."""
    if isinstance(column.type, JsonText):
        return lambda value: None if value is None and column.nullable else _JSON.encode(value).decode()
    if isinstance(column.type, Packed):
        return lambda value: None if value is None else _PACK.encode(value)
    if isinstance(column.type, sa.Text) and hint not in (str, str | None):  # an enum's member
        return lambda value: None if value is None else str(value)
    return None


def _decoder(column: sa.Column[Any], hint: Any) -> Callable[[Any], Any]:
    if isinstance(column.type, JsonText):
        text = msgspec.json.Decoder(hint)
        return lambda value: None if value is None else text.decode(value)
    if isinstance(column.type, Packed):
        packed = msgspec.msgpack.Decoder(hint)
        return lambda value: None if value is None else packed.decode(value)
    if isinstance(column.type, sa.Text):
        return lambda value: None if value is None else msgspec.convert(value, hint)
    if isinstance(column.type, sa.LargeBinary):
        return lambda value: None if value is None else bytes(value)
    return lambda value: value
