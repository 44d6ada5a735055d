from __future__ import annotations

import base64
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.wire.envelope import Event, Rejected, encode_structured, parse, parse_http
from headwater.wire.json_text import DEPTH_MAX

STRUCTURED = [("content-type", b"application/cloudevents+json; charset=utf-8")]
BINARY: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.placed"),
    ("content-type", b"application/json"),
]


def document(**changes: object) -> bytes:
    found = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", "data": {"n": 1}} | changes
    return orjson.dumps({name: item for name, item in found.items() if item is not ...})


def accepted(answer: Event | Rejected) -> Event:
    assert isinstance(answer, Event), answer
    return answer


def refused(answer: Event | Rejected) -> tuple[str, str]:
    assert isinstance(answer, Rejected), answer
    return answer.reason.value, answer.sentence


def without(name: str) -> list[tuple[str, bytes | None]]:
    return [header for header in BINARY if header[0] != name]


def test_structured_mode_gives_every_attribute() -> None:
    body = document(
        time="2026-01-31T08:00:00.25+01:00", subject="s", project="eta", dataschema="urn:1", traceid="t", depth=3
    )
    event = accepted(parse(body, STRUCTURED))
    assert (event.id, event.source, event.type, event.subject) == ("1", "/shop", "order.placed", "s")
    assert (event.project, event.dataschema, event.data) == ("eta", "urn:1", {"n": 1})
    assert event.time_us == 1_769_842_800_250_000
    assert event.extensions == {"traceid": "t", "depth": 3}


def test_binary_mode_gives_the_same_event_and_digest() -> None:
    structured = accepted(parse(document(), STRUCTURED))
    binary = accepted(parse(b'{ "n": 1 }', BINARY))
    assert binary.sha256 == structured.sha256
    assert (binary.id, binary.data) == (structured.id, structured.data)


def test_the_digest_tells_another_payload_and_ignores_the_order_of_members() -> None:
    one, same, other = (
        accepted(parse(body, BINARY)) for body in (b'{"a":1,"b":2}', b'{"b":2,"a":1}', b'{"a":1,"b":3}')
    )
    assert one.sha256 == same.sha256
    assert one.sha256 != other.sha256


def test_data_that_is_not_json_stays_bytes() -> None:
    headers = [*without("content-type"), ("content-type", b"application/octet-stream")]
    assert accepted(parse(b"\xff\x00", headers)).data == b"\xff\x00"


def test_base64_data_is_bytes_with_the_digest_of_binary_mode() -> None:
    body = document(data=..., data_base64=base64.b64encode(b"\xff").decode(), datacontenttype="image/png")
    headers = [*without("content-type"), ("content-type", b"image/png")]
    event = accepted(parse(body, STRUCTURED))
    assert event.data == b"\xff"
    assert event.sha256 == accepted(parse(b"\xff", headers)).sha256


def test_an_event_without_data_has_none() -> None:
    assert accepted(parse(None, BINARY)).data is None


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_refused_and_never_invented(name: str) -> None:
    for answer in (parse(document(**{name: ...}), STRUCTURED), parse(b"{}", without(f"ce_{name}"))):
        reason, sentence = refused(answer)
        assert reason == "invalid_envelope"
        assert f"'{name}' is missing" in sentence


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": ""}, "'id' has 0 characters"),
        ({"id": None}, "'id' is missing"),
        ({"id": 7}, "'id' is a number"),
        ({"id": "x" * 257}, "257 characters"),
        ({"source": "a\nb"}, "control characters"),
        ({"specversion": "0.3"}, "'0.3'"),
        ({"time": "yesterday"}, "'yesterday'"),
        ({"time": "2026-02-30T00:00:00Z"}, "RFC 3339"),
        ({"Upper": "x"}, "'Upper'"),
        ({"nested": {"a": 1}}, "'nested' is an object"),
        ({"big": 1 << 40}, "over 32 bits"),
        ({"data_base64": "AA=="}, "'data_base64'"),
        ({"data": ..., "data_base64": "?"}, "not base64"),
    ],
)
def test_a_wrong_attribute_is_named(changes: dict[str, object], says: str) -> None:
    reason, sentence = refused(parse(document(**changes), STRUCTURED))
    assert reason == "invalid_envelope"
    assert says in sentence


def test_a_member_given_twice_is_refused() -> None:
    body = b'{"specversion":"1.0","id":"1","id":"2","source":"s","type":"t","data":{"a":":","b":{"c":1}}}'
    assert "twice" in refused(parse(body, STRUCTURED))[1]
    assert accepted(parse(body.replace(b'"id":"2",', b""), STRUCTURED)).id == "1"


def test_a_header_given_twice_is_refused() -> None:
    reason, sentence = refused(parse(b"{}", [*BINARY, ("CE_ID", b"2")]))
    assert (reason, "'ce_id' is given twice" in sentence) == ("invalid_envelope", True)


def test_a_null_header_is_refused_by_name() -> None:
    reason, sentence = refused(parse(b"{}", [*without("ce_id"), ("ce_id", None)]))
    assert (reason, "'ce_id' is null" in sentence) == ("invalid_envelope", True)


@pytest.mark.parametrize(
    "answer",
    [
        parse(b"{}", [*without("ce_id"), ("ce_id", b"\xff")]),
        parse(b"{}", [*BINARY, ("ce_\udcff", b"1")]),
        parse(b"{}", BINARY, key=b"\xff"),
        parse(b'{"a": "\xff"}', BINARY),
    ],
    ids=["header", "header name", "key", "body"],
)
def test_what_is_not_utf_8_is_refused(answer: Event | Rejected) -> None:
    assert refused(answer)[0] == "invalid_encoding"


@pytest.mark.parametrize("body", [b"{", b'{"a":}', b"NaN", b'"open', b"[1,]", b"\\" * 9])
def test_malformed_json_is_refused(body: bytes) -> None:
    assert refused(parse(body, BINARY))[0] == "invalid_json"


def test_depth_is_counted_before_anything_is_parsed() -> None:
    assert refused(parse(b"[" * 200_000, BINARY))[0] == "too_deep"
    assert refused(parse(b"[" * 65 + b"]" * 65, BINARY))[0] == "too_deep"
    accepted(parse(b"[" * 64 + b"]" * 64, BINARY))
    accepted(parse(orjson.dumps({"text": "[" * 1000}), BINARY))


def test_an_event_over_a_mebibyte_is_refused() -> None:
    reason, sentence = refused(parse(b"1" * (5 << 20), BINARY))
    assert (reason, "5,242,880 bytes" in sentence) == ("too_large", True)


@pytest.mark.parametrize(
    "content_type", [b"text/plain", b"application/cloudevents+avro", b"application/cloudevents-batch+json"]
)
def test_another_content_type_is_refused(content_type: bytes) -> None:
    assert refused(parse(document(), [("content-type", content_type)]))[0] == "unsupported_content_type"


def test_another_charset_is_refused() -> None:
    headers = [*without("content-type"), ("content-type", b"application/json; charset=latin-1")]
    assert refused(parse(b"{}", headers))[0] == "unsupported_content_type"


def test_a_record_without_any_sign_of_an_event_says_what_to_send() -> None:
    reason, sentence = refused(parse(b"hello", []))
    assert (reason, "ce_id" in sentence) == ("invalid_envelope", True)


def test_http_decodes_percent_escapes_in_binary_mode() -> None:
    headers = [("CE-SpecVersion", "1.0"), ("ce-id", "1"), ("ce-source", "/a%20b"), ("ce-type", "t%C3%A9")]
    (answer,) = parse_http(b"{}", headers)
    assert (accepted(answer).source, accepted(answer).type) == ("/a b", "t\u00e9")


def test_http_answers_each_member_of_a_batch() -> None:
    body = b"[" + document() + b"," + document(id=...) + b"]"
    first, second = parse_http(body, [("Content-Type", "application/cloudevents-batch+json")])
    assert accepted(first).id == "1"
    assert "'id' is missing" in refused(second)[1]


@given(
    st.builds(
        Event,
        id=st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True),
        source=st.just("/s"),
        type=st.just("t"),
        subject=st.none() | st.just("u"),
        time_us=st.none() | st.integers(0, 4_000_000_000_000_000),
        project=st.none() | st.just("eta@dev"),
        extensions=st.dictionaries(st.sampled_from(["traceid", "depth"]), st.integers(0, 9) | st.booleans()),
        data=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(-(2**53), 2**53)) | st.binary(),
    )
)
def test_an_event_survives_its_encoding(event: Event) -> None:
    value, headers = encode_structured(event)
    back = accepted(parse(value, headers))
    assert (back, back.sha256) == (event, event.sha256)


NAMES = st.sampled_from([name for name, _ in BINARY] + ["ce_x", "other"]) | st.text(max_size=8)


@given(st.none() | st.binary(max_size=200), st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=20)), max_size=8))
def test_no_bytes_make_it_raise(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    for extra in ([], STRUCTURED, BINARY):
        assert isinstance(parse(value, [*headers, *extra]), Event | Rejected)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(st.characters(codec="utf-8")), st.lists))
def test_no_json_makes_it_raise(data: object) -> None:
    body = document(data=data)
    assert isinstance(parse(body, STRUCTURED), Event | Rejected)
    assert all(isinstance(one, Event | Rejected) for one in parse_http(body, [("content-type", "application/json")]))


PLAIN_TEXTS = st.sampled_from(
    ["a", "id", "data", "A 1", "", "ż", "\x7f", "\n", "x" * 300, "1.0", '"', "2026-01-31T08:00:00Z"]
)
PLAIN_NAMES = st.sampled_from(
    [
        "id",
        "source",
        "type",
        "specversion",
        "subject",
        "time",
        "project",
        "dataschema",
        "data",
        "traceid",
        "data_base64",
    ]
)
PLAIN_DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | PLAIN_TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PLAIN_NAMES, inner, max_size=2),
    max_leaves=4,
)
WRITTEN = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": PLAIN_TEXTS, "source": PLAIN_TEXTS, "type": PLAIN_TEXTS},
    optional={"subject": PLAIN_TEXTS | st.none(), "time": PLAIN_TEXTS, "data": PLAIN_DATA, "traceid": PLAIN_TEXTS},
)


@given(written=WRITTEN, again=st.lists(st.tuples(PLAIN_NAMES, PLAIN_DATA), max_size=1), ascii_only=st.booleans())
def test_a_plain_event_is_read_as_every_other(written: dict[str, object], again: object, ascii_only: bool) -> None:
    members = [*written.items(), *again]  # type: ignore[misc]
    body = ", ".join(f"{json.dumps(name)}: {json.dumps(item, ensure_ascii=ascii_only)}" for name, item in members)
    value = f"{{{body}}}".encode()
    assert parse(value, STRUCTURED) == parse(value, [*STRUCTURED, ("ce_", b"x")])


@pytest.mark.parametrize("nested", [DEPTH_MAX - 2, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1])
def test_a_plain_event_nests_no_deeper_than_another(nested: int) -> None:
    value = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":' + b"[" * nested + b"]" * nested + b"}"
    assert parse(value, STRUCTURED) == parse(value, [*STRUCTURED, ("ce_", b"x")])
