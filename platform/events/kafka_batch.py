"""Record batches as they lie in Kafka's log, turned into records: committed ones only, checked by their CRC.

A header name that is not UTF-8 must not stop a partition. aiokafka's fast reader gives up on such a batch, so
that batch is read again here, by the layout of Kafka's record format v2, with surrogate escapes in the name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

from .bus import Headers

_HEAD = struct.Struct(">qi")  # base offset, length of what follows
_MAGIC_AT = 16
_ABORT = b"\x00\x00\x00\x00"  # a control record's key: version 0, type 0


class Raw(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Decoded(NamedTuple):
    """The records, and the offset to fetch next: past control records and what was rolled back."""

    records: list[Raw]
    next_offset: int


def decode(batches: bytes, position: int, aborted: list[tuple[int, int]]) -> Decoded:
    """The committed records from `position` on. Raises CorruptRecordException where a CRC does not hold.

    `aborted` names (producer, first offset) of the transactions in these bytes that were rolled back.
    """
    records: list[Raw] = []
    waiting = sorted(aborted, key=lambda one: one[1])
    rolled_back: set[int] = set()
    for chunk in _whole_batches(batches):
        if chunk[_MAGIC_AT] < 2:
            records += [_raw(record) for record in _legacy(chunk) if record.offset >= position]
            position = max(position, records[-1].offset + 1) if records else position
            continue
        batch = DefaultRecordBatch(bytearray(chunk))
        if not batch.validate_crc():
            raise CorruptRecordException(f"the CRC of the batch at offset {batch.base_offset} does not hold")
        while waiting and waiting[0][1] <= batch.base_offset:
            rolled_back.add(waiting.pop(0)[0])
        if batch.is_control_batch:
            if next(iter(batch)).key[:4] == _ABORT:
                rolled_back.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in rolled_back):
            records += [record for record in _records(chunk) if record.offset >= position]
        position = max(position, batch.next_offset)
    return Decoded(records, position)


def _whole_batches(batches: bytes) -> Iterator[bytes]:
    at = 0
    while at + _HEAD.size <= len(batches):
        size = _HEAD.size + _HEAD.unpack_from(batches, at)[1]
        if at + size > len(batches):
            return  # the broker may cut the last batch; it comes again whole
        yield batches[at : at + size]
        at += size


def _records(chunk: bytes) -> list[Raw]:
    try:
        return [_raw(record) for record in DefaultRecordBatch(bytearray(chunk))]
    except (UnicodeDecodeError, CorruptRecordException):
        return list(_tolerant(chunk))


def _legacy(chunk: bytes) -> Iterator[Any]:
    memory = MemoryRecords(chunk)
    while memory.has_next():
        yield from memory.next_batch()


def _raw(record: Any) -> Raw:
    return Raw(record.offset, record.timestamp, record.key, record.value, tuple(record.headers or ()))


def _tolerant(chunk: bytes) -> Iterator[Raw]:
    batch = _DefaultRecordBatchPy(chunk)
    batch._maybe_uncompress()
    buffer, at = batch._buffer, batch._pos
    for _ in range(batch._num_records):
        record, at = _read_record(batch, buffer, at)
        yield record


def _read_record(batch: Any, buffer: bytearray, at: int) -> tuple[Raw, int]:
    length, at = decode_varint(buffer, at)
    end = at + length
    _, at = decode_varint(buffer, at)  # attributes: none are in use
    timestamp_delta, at = decode_varint(buffer, at)
    offset_delta, at = decode_varint(buffer, at)
    key, at = _read_bytes(buffer, at)
    value, at = _read_bytes(buffer, at)
    count, at = decode_varint(buffer, at)
    headers = []
    for _ in range(count):
        name, at = _read_bytes(buffer, at)
        item, at = _read_bytes(buffer, at)
        headers.append(((name or b"").decode("utf-8", "surrogateescape"), item))
    if at != end:
        raise CorruptRecordException(f"the record at offset {batch.base_offset + offset_delta} ends amiss")
    timestamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + timestamp_delta
    return Raw(batch.base_offset + offset_delta, timestamp, key, value, tuple(headers)), at


def _read_bytes(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    size, at = decode_varint(buffer, at)
    return (None, at) if size < 0 else (bytes(buffer[at : at + size]), at + size)
