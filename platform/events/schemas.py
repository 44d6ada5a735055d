"""Records in the wire format of schema registries, as JSON: a zero, the schema's number in four bytes, the rest.

A schema never changes under its number, so that it is asked for once. A number that the registry does not know, or
bytes that are not of the schema, are refused; a registry that does not answer leaves it open, and the record waits.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import InvalidInput, NotFound, Unavailable
from ..wire.rejection import Reason, Rejected
from .schema_registry import Schema, SchemaRegistry

FORMS: Final = {"avro": "AVRO", "protobuf": "PROTOBUF"}
KNOWN_MAX: Final = 1_000
UNKNOWN_FOR_S: Final = 10.0  # a number that was not there is asked for again after it
AWAY_FOR_S: Final = 1.0
REFERENCES_MAX: Final = 64
HEAD: Final = 5

Read = Callable[[bytes], bytes]


class _Unread(msgspec.Struct, frozen=True):
    """Why the records of a schema cannot be read, and until when this holds."""

    why: str
    until: float


class Schemas:
    """Blocking; for one thread at a time."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, int], Read | _Unread] = {}
        self._away: tuple[float, Unavailable] | None = None

    def json_of(self, form: str, raw: bytes) -> bytes | Rejected:
        """The record as JSON, or why it is none. Raises Unavailable where the registry does not answer."""
        if len(raw) < HEAD or raw[0] != 0:
            why = (
                f"It begins with {raw[:HEAD].hex() or 'nothing'}, not with 00 and the four bytes of a schema's number."
            )
            return Rejected(Reason.INVALID_ENCODING, f"{why} Write it with the registry's own serializer.")
        number = int.from_bytes(raw[1:HEAD])
        read = self._read_of(form, number)
        if isinstance(read, _Unread):
            return Rejected(Reason.UNKNOWN_SCHEMA, f"Schema {number}: {read.why}.")
        try:
            return read(raw[HEAD:])
        except ValueError as error:
            sentence = f"The bytes are not of schema {number} ({error}). Write them with that schema."
            return Rejected(Reason.INVALID_ENCODING, sentence)

    def _read_of(self, form: str, number: int) -> Read | _Unread:
        known = self._known.get((form, number))
        if known is None or (isinstance(known, _Unread) and known.until < time.monotonic()):
            while len(self._known) >= KNOWN_MAX:
                self._known.pop(next(iter(self._known)))
            known = self._known[form, number] = self._asked_soon(form, number)
        return known

    def _asked_soon(self, form: str, number: int) -> Read | _Unread:
        """A registry that has just not answered is not asked again for each record."""
        if self._away is not None and time.monotonic() < self._away[0]:
            raise self._away[1]
        try:
            return self._asked(form, number)
        except Unavailable as error:
            self._away = time.monotonic() + AWAY_FOR_S, error
            raise

    def _asked(self, form: str, number: int) -> Read | _Unread:
        try:
            schema = self._registry.by_id(number, is_serialized=form == "protobuf")
            if schema.schema_type != FORMS[form]:
                what = f"it is {schema.schema_type}, the topic is declared as {form}"
                raise InvalidInput(what, remedy="Declare the topic by its format")
            return self._reader(form, schema)
        except (NotFound, InvalidInput) as error:
            return _Unread(str(error).rstrip("."), time.monotonic() + UNKNOWN_FOR_S)

    def _reader(self, form: str, schema: Schema) -> Read:
        referred: dict[str, str] = {}
        self._refer(form, schema, referred)
        if form == "avro":
            from . import avro

            return avro.reader_of(schema.schema, referred.values())
        from . import protobuf

        return protobuf.reader_of(schema.schema, referred)

    def _refer(self, form: str, schema: Schema, found: dict[str, str]) -> None:
        """The schemas that it refers to, those first that others refer to."""
        for reference in schema.references:
            if reference.name in found:
                continue
            if len(found) >= REFERENCES_MAX:
                what = f"it refers to more than {REFERENCES_MAX} schemas"
                raise InvalidInput(what, remedy="Register one that stands alone")
            found[reference.name] = ""  # so that a circle ends
            other = self._registry.referred(reference, is_serialized=form == "protobuf")
            self._refer(form, other, found)
            found.pop(reference.name)
            found[reference.name] = other.schema


def schemas_of(url: str) -> Schemas:
    """Raises InvalidInput where the libraries are not installed."""
    try:
        importlib.import_module(".avro", __package__)
        importlib.import_module(".protobuf", __package__)
    except ImportError as error:
        remedy = "Install them: pip install 'headwater[schemas]'"
        raise InvalidInput(f"Avro and Protobuf topics need {error.name!r}", remedy=remedy) from None
    return Schemas(SchemaRegistry(url))
