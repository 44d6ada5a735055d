"""CloudEvents 1.0 in and out, read strictly: nothing is believed, and nothing invented, before it was checked.

Bounds come first (size, then nesting, counted without recursion), then encoding, then JSON, then the
attributes. What does not pass is a `Rejected` with a reason code of the table below: a dead letter on
Kafka, a 4xx over HTTP. Structured mode is told by a content type that starts with `application/cloudevents`;
everything else is binary mode, with attributes in `ce_` (Kafka) or `ce-` (HTTP) headers.

    too_large                 the value is over 1 MiB
    too_deep                  JSON nested deeper than 64
    invalid_encoding          bytes that are not UTF-8 where text is due
    invalid_json              the body says JSON and is not
    unsupported_content_type  neither CloudEvents JSON nor binary mode
    invalid_envelope          an attribute is missing, doubled, null, too long or of the wrong kind
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec
import orjson

from .attributes import ATTRIBUTE_MAX_CHARS, REQUIRED, Attribute, checked_attributes, rfc3339, time_us_of
from .json_text import Json, decode_base64, is_encodable, parse_json, require_size, require_text
from .plain_event import Plain, is_plainly_structured, read_plain
from .rejection import Reason, Refused, Rejected, kind, shown

__all__ = ["Event", "Json", "Reason", "Rejected", "encode_structured", "parse", "parse_http"]

BATCH_MAX: Final = 1_000
STRUCTURED: Final = "application/cloudevents"
STRUCTURED_JSON: Final = "application/cloudevents+json"
BATCH_JSON: Final = "application/cloudevents-batch+json"

KafkaHeaders: TypeAlias = Sequence[tuple[str, bytes | None]]
HttpHeaders: TypeAlias = Sequence[tuple[str, str]]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One CloudEvent. `data` is the parsed value where the content is JSON, otherwise the bytes."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time_us: int | None = None
    project: str | None = None
    dataschema: str | None = None
    datacontenttype: str | None = None
    extensions: dict[str, Attribute] = {}
    data: Json | bytes = None

    @property
    def sha256(self) -> str:
        """The digest by which a repeated id is told from a conflict: type, subject, project and data by value.

        The mode of transport, the order of JSON members and the time of sending do not count.
        """
        is_bytes = isinstance(self.data, bytes)
        head = [self.type, self.subject, self.project, "bytes" if is_bytes else "json"]
        body = self.data if isinstance(self.data, bytes) else orjson.dumps(self.data, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(orjson.dumps(head) + b"\n" + body).hexdigest()


def parse(value: bytes | None, headers: KafkaHeaders, *, key: bytes | None = None) -> Event | Rejected:
    """The event in one Kafka record, or why it is none. Never raises."""
    try:
        require_text(key, "the record's key")
        plain = read_plain(value) if value and is_plainly_structured(headers) else None
        if plain is not None:
            return _plain_event(*plain)
        return _parse_one(value or b"", _kafka_headers(headers))
    except Refused as refused:
        return refused.rejected


def parse_http(body: bytes, headers: HttpHeaders) -> list[Event | Rejected]:
    """The events of one HTTP request, in order; a batch gives one answer per member. Never raises."""
    try:
        read = _http_headers(headers)
        if _media_type(read.content_type) == BATCH_JSON:
            return _parse_batch(body, read)
        return [_parse_one(body, read)]
    except Refused as refused:
        return [refused.rejected]


def encode_structured(event: Event) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The value and headers of `event` in structured mode; `parse` reads them back to an equal event."""
    document: dict[str, Json] = {"specversion": "1.0", "id": event.id, "source": event.source, "type": event.type}
    optional = {name: getattr(event, name) for name in ("subject", "project", "dataschema", "datacontenttype")}
    document.update({name: text for name, text in optional.items() if text is not None})
    if event.time_us is not None:
        document["time"] = rfc3339(event.time_us)
    document.update(event.extensions)
    if isinstance(event.data, bytes):
        document["data_base64"] = base64.b64encode(event.data).decode("ascii")
    elif event.data is not None:
        document["data"] = event.data
    return orjson.dumps(document), [("content-type", f"{STRUCTURED_JSON}; charset=UTF-8".encode())]


class _Headers(msgspec.Struct, frozen=True):
    """What the headers say: the content type and the attributes by their bare, lower-case names."""

    content_type: str | None
    attributes: dict[str, str]
    prefix: str


# Headers


def _kafka_headers(headers: KafkaHeaders) -> _Headers:
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        name = _header_name(raw_name)
        if not _is_ours(name, "ce_"):
            continue
        if raw is None:
            raise Refused(
                Reason.INVALID_ENVELOPE, f"The header '{name}' is null. Give it a value or leave the header out."
            )
        _add_header(found, name, require_text(raw, f"the header '{name}'"))
    return _Headers(found.pop("content-type", None), _bare(found), "ce_")


def _http_headers(headers: HttpHeaders) -> _Headers:
    found: dict[str, str] = {}
    for raw_name, raw in headers:
        name = _header_name(raw_name)
        if not _is_ours(name, "ce-"):
            continue
        text = raw if name == "content-type" else require_text(_unquoted(raw), f"the header '{name}'")
        _add_header(found, name, text)
    return _Headers(found.pop("content-type", None), _bare(found), "ce-")


def _header_name(raw: str) -> str:
    if not is_encodable(raw):
        raise Refused(
            Reason.INVALID_ENCODING,
            f"The header name {shown(raw)} is not UTF-8. Name headers in ASCII, such as 'ce_id'.",
        )
    return raw.lower()


def _is_ours(name: str, prefix: str) -> bool:
    return name == "content-type" or name.startswith(prefix)


def _add_header(found: dict[str, str], name: str, text: str) -> None:
    if name in found:
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The header '{name}' is given twice ({shown(found[name])} and {shown(text)}). Send it once.",
        )
    found[name] = text


def _bare(found: dict[str, str]) -> dict[str, str]:
    return {name[3:]: text for name, text in found.items()}


def _unquoted(raw: str) -> bytes:
    return unquote_to_bytes(raw.encode("utf-8", "surrogateescape"))


# One event


def _parse_one(value: bytes, headers: _Headers) -> Event:
    require_size(value)
    media_type = _media_type(headers.content_type)
    if media_type.startswith(STRUCTURED):
        return _structured(value, media_type, headers.content_type)
    return _binary(value, media_type, headers)


def _structured(value: bytes, media_type: str, content_type: str | None) -> Event:
    if media_type not in (STRUCTURED, STRUCTURED_JSON):
        raise Refused(
            Reason.UNSUPPORTED_CONTENT_TYPE,
            f"The content type {shown(content_type)} is not read here. Send one event as '{STRUCTURED_JSON}'"
            " or in binary mode.",
        )
    document, members = parse_json(value)
    return _event_of(document, members)


def _parse_batch(body: bytes, headers: _Headers) -> list[Event | Rejected]:
    require_size(body)
    _require_utf8_charset(headers.content_type)
    documents, _ = parse_json(body)
    if not isinstance(documents, list) or len(documents) > BATCH_MAX:
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"A batch is a JSON array of at most {BATCH_MAX:,} events. Split it or send one event.",
        )
    return [_member(document) for document in documents]


def _member(document: Json) -> Event | Rejected:
    try:
        return _event_of(document, None)
    except Refused as refused:
        return refused.rejected


def _event_of(document: Json, members: int | None) -> Event:
    if not isinstance(document, dict):
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The event is {kind(document)} where a JSON object is due. Send an object with {', '.join(REQUIRED)}.",
        )
    if members is not None and members != len(document):
        raise Refused(Reason.INVALID_ENVELOPE, "The event gives an attribute twice. Send each member once.")
    attributes = {name: item for name, item in document.items() if name not in ("data", "data_base64")}
    checked = checked_attributes(attributes)
    return _event(checked, _structured_data(document, checked))


def _structured_data(document: dict[str, Json], attributes: dict[str, Attribute]) -> Json | bytes:
    data, encoded = document.get("data"), document.get("data_base64")
    if encoded is not None:
        if data is not None or not isinstance(encoded, str):
            raise Refused(
                Reason.INVALID_ENVELOPE,
                "'data_base64' must be a string and the only data. Send 'data' or 'data_base64'.",
            )
        return decode_base64(encoded)
    declared = attributes.get("datacontenttype")
    if isinstance(data, str) and declared is not None and not _is_json(_media_type(str(declared))):
        return data.encode("utf-8")
    return data


def _plain_event(plain: Plain, data: Json) -> Event:
    return Event(
        id=plain.id,
        source=plain.source,
        type=plain.type,
        subject=plain.subject,
        time_us=None if plain.time is None else time_us_of(plain.time),
        project=plain.project,
        dataschema=plain.dataschema,
        data=data,
    )


def _binary(value: bytes, media_type: str, headers: _Headers) -> Event:
    if not headers.attributes:
        raise _no_event(headers)
    if "datacontenttype" in headers.attributes:
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The header '{headers.prefix}datacontenttype' has no place in binary mode. Use the header 'content-type'.",
        )
    attributes: dict[str, Json] = dict(headers.attributes)
    if headers.content_type is not None:
        attributes["datacontenttype"] = headers.content_type
    checked = checked_attributes(attributes)
    if not value:
        return _event(checked, None)
    if media_type and not _is_json(media_type):
        return _event(checked, value)
    _require_utf8_charset(headers.content_type)
    return _event(checked, parse_json(value)[0])


def _no_event(headers: _Headers) -> Refused:
    if headers.content_type is None:
        return Refused(
            Reason.INVALID_ENVELOPE,
            f"The message is no CloudEvent: it has no content type and no header '{headers.prefix}id'."
            f" Send '{STRUCTURED_JSON}' or the headers {', '.join(headers.prefix + name for name in REQUIRED)}.",
        )
    return Refused(
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"The content type {shown(headers.content_type)} without '{headers.prefix}' headers is no CloudEvent."
        f" Send '{STRUCTURED_JSON}' or add the headers {', '.join(headers.prefix + name for name in REQUIRED)}.",
    )


def _event(attributes: dict[str, Attribute], data: Json | bytes) -> Event:
    """Of attributes that were checked: those that CloudEvents names are texts."""
    text: Callable[[str], Any] = attributes.get
    time = text("time")
    return Event(
        id=text("id"),
        source=text("source"),
        type=text("type"),
        subject=text("subject"),
        time_us=None if time is None else time_us_of(time),
        project=text("project"),
        dataschema=text("dataschema"),
        datacontenttype=text("datacontenttype"),
        extensions={name: item for name, item in attributes.items() if name not in ATTRIBUTE_MAX_CHARS},
        data=data,
    )


# Content types and text


def _media_type(content_type: str | None) -> str:
    return (content_type or "").split(";", 1)[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type.endswith("+json") or media_type in ("application/json", "text/json")


def _require_utf8_charset(content_type: str | None) -> None:
    for parameter in (content_type or "").split(";")[1:]:
        name, _, charset = parameter.partition("=")
        if name.strip().lower() == "charset" and charset.strip(' "').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Refused(
                Reason.UNSUPPORTED_CONTENT_TYPE,
                f"The charset in {shown(content_type)} is not read. Send JSON as UTF-8.",
            )
