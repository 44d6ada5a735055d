"""Protobuf messages as JSON, by the file descriptor that a schema registry gives."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

from ..errors import InvalidInput

ROOT: Final = "headwater-root.proto"
INDEXES_MAX: Final = 32
_KNOWN: Final = {
    f"google/protobuf/{name}.proto": f"google.protobuf.{name}_pb2"
    for name in ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")
}


def reader_of(text: str, referred: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """Reads message indexes and a message as JSON; raises ValueError for bytes that are none. InvalidInput where the
    descriptor is none.

    `referred` are the descriptors that it imports, by name, those first that others import.
    """
    pool = descriptor_pool.DescriptorPool()
    try:
        files = {name: _file(each, name) for name, each in (*referred.items(), (ROOT, text))}
        for file in files.values():
            for name in file.dependency:
                if name in _KNOWN and name not in files:
                    _add_known(pool, name)
            pool.Add(file)
        pool.FindFileByName(ROOT)
    except (ValueError, TypeError, KeyError, DecodeError) as error:
        raise InvalidInput(f"The schema is no Protobuf file: {error}", remedy="Register one that is") from None
    return lambda raw: _read(pool, files[ROOT], raw)


def _file(text: str, name: str) -> FileDescriptorProto:
    file = FileDescriptorProto()
    file.ParseFromString(base64.b64decode(text, validate=True))
    file.name = name
    return file


def _add_known(pool: descriptor_pool.DescriptorPool, name: str) -> None:
    """A file of Protobuf's own."""
    file = FileDescriptorProto()
    importlib.import_module(_KNOWN[name]).DESCRIPTOR.CopyToProto(file)
    pool.Add(file)


def _read(pool: descriptor_pool.DescriptorPool, file: FileDescriptorProto, raw: bytes) -> bytes:
    indexes, start = message_indexes(raw)
    name = _name_of(file, indexes)
    message: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    try:
        message.ParseFromString(raw[start:])
        said = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, descriptor_pool=pool
        )
    except (DecodeError, json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"no {name}: {error}") from None
    return msgspec.json.encode(said)


def message_indexes(raw: bytes) -> tuple[list[int], int]:
    """Which message of the file it is, message in message, and where its bytes begin. A lone 0 means the first."""
    count, at = _zigzag(raw, 0)
    if count == 0:
        return [0], at
    if not 0 < count <= INDEXES_MAX:
        raise ValueError(f"{count} message indexes")
    indexes: list[int] = []
    for _ in range(count):
        index, at = _zigzag(raw, at)
        indexes.append(index)
    return indexes, at


def _zigzag(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift <= 28:
        if at >= len(raw):
            raise ValueError("the message indexes are cut off")
        value |= (raw[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not raw[at - 1] & 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise ValueError("a message index is over 32 bits")


def _name_of(file: FileDescriptorProto, indexes: list[int]) -> str:
    names = [file.package] if file.package else []
    messages: Any = file.message_type
    for index in indexes:
        if not 0 <= index < len(messages):
            raise ValueError(f"message indexes {indexes} lead to no message of the schema")
        names.append(messages[index].name)
        messages = messages[index].nested_type
    return ".".join(names)
