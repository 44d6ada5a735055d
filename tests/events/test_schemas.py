"""Avro and Protobuf in the wire format of schema registries: read as JSON, refused by name, or left to wait."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
from google.protobuf import duration_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st
from scenes.registry import Registry, a_registry, framed, serialized

from headwater.errors import InvalidInput, Unavailable
from headwater.events import avro, protobuf
from headwater.events.bus import Start
from headwater.events.ingest import BATCH_MAX, Ingest, Parsed
from headwater.events.kafka import KafkaBus
from headwater.events.kafka_link import KafkaSettings
from headwater.events.schemas import schemas_of
from headwater.wire.envelope import Event, Rejected
from headwater.wire.topics import Direction, Topic

if TYPE_CHECKING:
    from headwater.local.broker import Broker

ORDER: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": "long"},
        {"name": "raw", "type": ["null", "bytes"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}
AT = datetime.datetime(2026, 11, 22, 6, 0, tzinfo=datetime.UTC)


def written(schema: Any, value: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def an_order(number: int = 1) -> bytes:
    return written(ORDER, {"id": "o1", "n": number, "raw": b"\x01", "at": AT, "price": Decimal("9.50")})


def a_file() -> FileDescriptorProto:
    """`shop.Order { message Line { int64 n } string id; repeated Line lines; google.protobuf.Duration took }`"""
    kinds = FieldDescriptorProto
    file = FileDescriptorProto(
        name="shop.proto", package="shop", syntax="proto3", dependency=["google/protobuf/duration.proto"]
    )
    file.message_type.add(name="Other")
    order = file.message_type.add(name="Order")
    line = order.nested_type.add(name="Line")
    line.field.add(name="n", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    order.field.add(name="order_id", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    order.field.add(
        name="lines", number=2, type=kinds.TYPE_MESSAGE, type_name=".shop.Order.Line", label=kinds.LABEL_REPEATED
    )
    order.field.add(
        name="took",
        number=3,
        type=kinds.TYPE_MESSAGE,
        type_name=".google.protobuf.Duration",
        label=kinds.LABEL_OPTIONAL,
    )
    return file


LINE = b"\x08\x07"  # n = 7
AN_ORDER = b"\x0a\x02o1" + b"\x12\x02" + LINE + b"\x1a\x02" + duration_pb2.Duration(seconds=3).SerializeToString()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with a_registry() as one:
        yield one


def test_an_avro_record_is_read_by_the_schema_of_its_number_which_is_asked_for_once(registry: Registry) -> None:
    registry.avro(7, ORDER)
    schemas = schemas_of(registry.url)
    for _ in range(3):
        read = schemas.json_of("avro", framed(7, an_order()))
        assert isinstance(read, bytes)
        said = json.loads(read)
        assert said == {"id": "o1", "n": 1, "raw": "AQ==", "at": "2026-11-22T06:00:00Z", "price": "9.50"}
    assert registry.asked == ["/schemas/ids/7"]


def test_a_schema_that_refers_to_another_is_read_with_it(registry: Registry) -> None:
    outer = {"type": "record", "name": "Cart", "fields": [{"name": "first", "type": "Order"}]}
    reference = {"name": "Order", "subject": "orders/value", "version": 2}
    registry.avro(8, outer, references=[reference])
    registry.answers["/subjects/orders%2Fvalue/versions/2"] = {"schema": json.dumps(ORDER)}
    read = schemas_of(registry.url).json_of("avro", framed(8, an_order(5)))
    assert isinstance(read, bytes)
    assert json.loads(read)["first"]["n"] == 5


def test_a_protobuf_message_is_read_by_its_descriptor_and_indexes(registry: Registry) -> None:
    registry.protobuf(9, a_file())
    schemas = schemas_of(registry.url)
    read = schemas.json_of("protobuf", framed(9, b"\x02\x02" + AN_ORDER))
    assert isinstance(read, bytes), read
    assert json.loads(read) == {"order_id": "o1", "lines": [{"n": "7"}], "took": "3s"}
    inner = schemas.json_of("protobuf", framed(9, b"\x04\x02\x00" + LINE))
    assert inner == b'{"n":"7"}'
    assert schemas.json_of("protobuf", framed(9, b"\x00")) == b"{}"


def test_a_protobuf_file_that_imports_another_is_read_with_it(registry: Registry) -> None:
    shared = a_file()
    outer = FileDescriptorProto(name="cart.proto", syntax="proto3", dependency=["shop/shop.proto"])
    cart = outer.message_type.add(name="Cart")
    kinds = FieldDescriptorProto
    cart.field.add(name="order", number=1, type=kinds.TYPE_MESSAGE, type_name=".shop.Order", label=kinds.LABEL_OPTIONAL)
    registry.protobuf(3, outer, references=[{"name": "shop/shop.proto", "subject": "shop", "version": 1}])
    registry.answers["/subjects/shop/versions/1?format=serialized"] = serialized(shared)
    read = schemas_of(registry.url).json_of("protobuf", framed(3, b"\x00\x0a\x04\x0a\x02o1"))
    assert isinstance(read, bytes), read
    assert json.loads(read)["order"]["order_id"] == "o1"


@pytest.mark.parametrize(
    ("form", "raw", "code", "words"),
    [
        ("avro", b"", "invalid_encoding", "begins with nothing"),
        ("avro", b'{"id": 1}', "invalid_encoding", "begins with 7b22696422"),
        ("avro", framed(404, b""), "unknown_schema", "Schema 404: The schema registry has nothing"),
        ("avro", framed(7, an_order()[:-1]), "invalid_encoding", "not of schema 7"),
        ("avro", framed(7, an_order() + b"x"), "invalid_encoding", "1 bytes are left over"),
        ("avro", framed(7, b"\xff" * 10), "invalid_encoding", "not of schema 7"),
        ("avro", framed(10, b"\x02" * 100_000 + b"\x00"), "unknown_schema", "Chain contains itself"),
        ("avro", framed(11, b"\x80\x80\x80\x80\x20\x00"), "unknown_schema", "lists what takes no bytes"),
        ("avro", framed(12, b""), "unknown_schema", "no Avro schema"),
        ("avro", framed(9, b""), "unknown_schema", "it is PROTOBUF, the topic is declared as avro"),
        ("avro", framed(13, b""), "unknown_schema", "more than 1,048,576 bytes"),
        ("protobuf", framed(9, b""), "invalid_encoding", "cut off"),
        ("protobuf", framed(9, b"\x02\x0e"), "invalid_encoding", "lead to no message"),
        ("protobuf", framed(9, b"\x02\x02\x0a\xff"), "invalid_encoding", "no shop.Order"),
        ("protobuf", framed(9, b"\xff" * 9), "invalid_encoding", "over 32 bits"),
        ("protobuf", framed(12, b"\x00"), "unknown_schema", "no Protobuf file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    registry: Registry, form: str, raw: bytes, code: str, words: str
) -> None:
    chain = {"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"]}]}
    registry.avro(7, ORDER)
    registry.protobuf(9, a_file())
    registry.avro(9, ORDER, schemaType="PROTOBUF")
    registry.avro(10, chain)
    registry.avro(11, {"type": "array", "items": "null"})
    registry.avro(12, "nonsense")
    registry.answers["/schemas/ids/12?format=serialized"] = {"schemaType": "PROTOBUF", "schema": "bm9uc2Vuc2U="}
    registry.answers["/schemas/ids/13"] = b'{"schema": "' + b"x" * (1 << 20) + b'"}'
    refused = schemas_of(registry.url).json_of(form, raw)
    assert isinstance(refused, Rejected), refused
    assert refused.reason == code
    assert words in refused.sentence


@pytest.mark.parametrize("answer", [503, 401, b"<html>"])
def test_a_registry_that_does_not_answer_leaves_it_open(registry: Registry, answer: Any) -> None:
    registry.answers["/schemas/ids/7"] = answer
    schemas = schemas_of(registry.url)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            schemas.json_of("avro", framed(7, b""))
    assert len(registry.asked) == 1
    with pytest.raises(Unavailable, match="does not answer"):
        schemas_of("http://127.0.0.1:9").json_of("avro", framed(7, b""))


def test_a_user_of_the_address_is_sent_and_never_shown(registry: Registry) -> None:
    address = registry.url.replace("//", "//ann:s%3Acret@")
    registry.answers["/schemas/ids/7"] = 500
    with pytest.raises(Unavailable) as away:
        schemas_of(address).json_of("avro", framed(7, b""))
    assert registry.authorizations == ["Basic YW5uOnM6Y3JldA=="]
    assert "cret" not in str(away.value)


@pytest.mark.parametrize("address", ["", "127.0.0.1:8081", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="no address of a schema registry"):
        schemas_of(address)


READ_ORDER = avro.reader_of(json.dumps(ORDER), ())
READ_SHOP = protobuf.reader_of(serialized(a_file())["schema"], {})


@given(st.binary(max_size=200))
def test_no_bytes_lead_a_reader_astray(raw: bytes) -> None:
    for read in (READ_ORDER, READ_SHOP):
        with contextlib.suppress(ValueError):
            json.loads(read(raw))


# On a real broker


class Owner:
    def __init__(self) -> None:
        self.taken: list[Parsed] = []
        self.came = asyncio.Condition()

    async def take(self, records: list[Parsed]) -> None:
        async with self.came:
            self.taken += records
            self.came.notify_all()

    async def gap(self, gap: object, topic_id: str) -> None:
        raise AssertionError(gap)

    def room(self) -> int:
        return BATCH_MAX

    async def has(self, count: int) -> list[Parsed]:
        async with asyncio.timeout(30), self.came:
            await self.came.wait_for(lambda: len(self.taken) >= count)
        return self.taken


@pytest.mark.asyncio(loop_scope="session")
async def test_records_wait_for_their_registry_while_other_topics_flow(
    broker: Broker, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.events.ingest.REST_S", 0.1)
    monkeypatch.setattr("headwater.events.schemas.AWAY_FOR_S", 0.05)
    bus = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap))
    names = ("test.schemas.avro", "test.schemas.json")
    await bus.ensure_topics(
        [Topic(name=name, direction=Direction.INBOUND, owner="a test", key="any") for name in names]
    )
    registry.answers["/schemas/ids/7"] = 503
    sender = bus.producer()
    for value in (framed(7, an_order(1)), b"no avro", framed(7, an_order(2))):
        await sender.send(names[0], b"k", value)
    owner = Owner()
    formats = {names[0]: "avro", names[1]: "json"}
    ingest = Ingest(bus.source(Start(names)), owner, formats=formats, decoder=schemas_of(registry.url))
    reading = asyncio.create_task(ingest.run())
    await sender.send(names[1], None, b'{"n": 0}')
    (only,) = await owner.has(1)
    assert only.record.topic == names[1]
    registry.avro(7, ORDER)
    await sender.send(names[1], None, b'{"n": 9}')
    taken = [parsed for parsed in await owner.has(5) if parsed.record.topic == names[0]]
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await bus.close()
    assert [parsed.record.offset for parsed in taken] == [0, 1, 2]
    assert [parsed.record.previous for parsed in taken] == [0, 1, 2]
    first, bad, last = taken
    read = [parsed.said for parsed in (first, last) if isinstance(parsed.said, Event)]
    assert [(one.type, one.subject) for one in read] == [(names[0], "k")] * 2
    assert [one.data["n"] for one in read if isinstance(one.data, dict)] == [1, 2]
    assert isinstance(bad.said, Rejected)
    assert bad.record.value == b"no avro"
