"""A schema registry, asked over HTTP for the schemas that its wire format names by number."""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from ..errors import InvalidInput, NotFound, Unavailable

ANSWER_MAX_BYTES: Final = 1 << 20
TIMEOUT_S: Final = 2.0


class Reference(msgspec.Struct, frozen=True):
    """A schema that another one imports under a name."""

    name: str
    subject: str
    version: int


class Schema(msgspec.Struct, frozen=True, rename="camel"):
    """`schema` is the text of an Avro schema, or the base64 of a Protobuf file descriptor."""

    schema: str
    schema_type: str = "AVRO"
    references: tuple[Reference, ...] = ()


class SchemaRegistry:
    """Blocking. A user and a password may stand in the address."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            remedy = "Write events.schema_registry as http://HOST:PORT or https://HOST"
            raise InvalidInput(f"{url!r} is no address of a schema registry", remedy=remedy)
        self._base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def by_id(self, schema_id: int, *, is_serialized: bool) -> Schema:
        """Raises NotFound where there is none of that number, Unavailable where it cannot be said now."""
        return self._get(f"/schemas/ids/{schema_id}", is_serialized=is_serialized)

    def referred(self, reference: Reference, *, is_serialized: bool) -> Schema:
        path = f"/subjects/{quote(reference.subject, safe='')}/versions/{reference.version}"
        return self._get(path, is_serialized=is_serialized)

    def _get(self, path: str, *, is_serialized: bool) -> Schema:
        url = f"{self._base}{path}{'?format=serialized' if is_serialized else ''}"
        try:
            asked = urllib.request.Request(url, headers=self._headers)
            with self._opener.open(asked, timeout=self._timeout_s) as answer:
                raw = answer.read(ANSWER_MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    raise NotFound(f"The schema registry has nothing at {path}", remedy="Register it there") from None
                raise self._away(path, f"HTTP {error.code}") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._away(path, str(error) or type(error).__name__) from None
        return self._read(path, raw)

    def _read(self, path: str, raw: bytes) -> Schema:
        if len(raw) > ANSWER_MAX_BYTES:
            what = f"The schema at {path} has more than {ANSWER_MAX_BYTES:,} bytes"
            raise InvalidInput(what, remedy="Register a smaller one")
        try:
            return msgspec.json.decode(raw, type=Schema)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._away(path, f"its answer is no schema: {error}") from None

    def _away(self, path: str, why: Any) -> Unavailable:
        what = f"The schema registry {self._base} does not answer {path} ({why})"
        return Unavailable(what, remedy="Records wait until it does; check events.schema_registry.")
