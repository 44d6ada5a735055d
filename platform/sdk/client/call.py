"""How a client asks, without I/O: a program yields calls, is sent the replies, returns the answer.

Each noun's module holds its programs; one link drives them with `http.client`, another with asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec

from ...errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable
from ...wire.api.answer import PAGE_MAX, Page, decode_error

T = TypeVar("T")

JSON_REMEDY: Final = "Pass numbers, text, lists and dictionaries; what is open or locked stays where it is"
NO_HEADERS: Final[Mapping[str, str]] = {}
Body: TypeAlias = bytes | Callable[[], Iterable[bytes]] | None


class Call(NamedTuple):
    """One HTTP request. `base` is another server's address, for inference. A callable body is streamed."""

    method: str
    path: str
    headers: Mapping[str, str] = NO_HEADERS
    body: Body = None
    base: str = ""


class Reply(NamedTuple):
    status: int
    body: bytes


Program: TypeAlias = Generator[Call, Reply, T]


ERRORS: Final[dict[int, type[HeadwaterError]]] = {
    400: InvalidInput,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
    503: Unavailable,
}


def checked(reply: Reply) -> bytes:
    """The body of a good reply; raises the server's own words otherwise."""
    if reply.status < 400:
        return reply.body
    kind = ERRORS.get(reply.status, HeadwaterError)
    problem = decode_error(reply.body)
    if problem is None:
        raise kind(_foreign(reply))
    place = f"{problem.file}:{problem.line}: " if problem.file and not problem.message.startswith(problem.file) else ""
    message = f"{place}{problem.message}"
    raise kind(message.removesuffix(".") if problem.remedy else message, remedy=problem.remedy)


def in_json(value: object, *, place: str) -> bytes:
    """`value` as JSON. Raises InvalidInput where it has no such form."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{place} is not JSON ({error})", remedy=JSON_REMEDY) from None


def ask(call: Call, kind: Any) -> Program[Any]:
    """The answer to one call as `kind`."""
    reply = yield call
    return msgspec.json.decode(checked(reply), type=kind)


def get(path: str, kind: Any, **filters: object) -> Program[Any]:
    """The answer to a GET; filters that are None are left out."""
    given = urlencode({name: text for name, text in filters.items() if text is not None}, doseq=True)
    return ask(Call("GET", f"{path}?{given}" if given else path), kind)


def post(path: str, body: msgspec.Struct, kind: Any) -> Program[Any]:
    return ask(Call("POST", path, {"Content-Type": "application/json"}, msgspec.json.encode(body)), kind)


def listing(path: str, kind: Any, **filters: object) -> Program[list[Any]]:
    """The items of a listing: all pages, or as many items as `limit` says."""
    limit = filters.pop("limit", None)
    wanted = limit if isinstance(limit, int) else None
    found: list[Any] = []
    after: str | None = None
    while wanted is None or len(found) < wanted:
        size = min(PAGE_MAX, PAGE_MAX if wanted is None else wanted - len(found))
        paging = {} if path.endswith("/types") or path == "/v1/actors" else {"after": after, "limit": size}
        page = yield from get(path, Page[kind], **filters, **paging)
        found += page.items
        after = page.next
        if after is None:
            break
    return found


def _foreign(reply: Reply) -> str:
    """The words of a server that is not Web: v2's `{"error": "text"}`, or the beginning of a page."""
    try:
        said = msgspec.json.decode(reply.body)["error"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        said = reply.body[:200].decode(errors="replace").strip()
    return f"{said} (HTTP {reply.status})"
