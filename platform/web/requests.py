"""Reading requests: who asks, bodies within bounds, and answers within the time of an order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec
import orjson
from fastapi import Request

from ..core.gaps import RESUME
from ..errors import InvalidInput, did_you_mean
from ..wire import cursor
from ..wire.api.answer import COMMAND_SOURCE
from ..wire.api.commands import CommandView
from ..wire.calls import Order
from ..wire.ids import digest_of
from ..wire.terms import JSON
from ..wire.topics import TOPICS, Direction
from .answers import TooLarge
from .bearer import PRINCIPAL
from .seams import OWNER_OF, Done, Platform, Refused

S = TypeVar("S", bound=msgspec.Struct)

BODY_MAX_BYTES = 1 << 20


def platform_of(request: Request) -> Platform:
    found = request.app.state.platform
    assert isinstance(found, Platform)
    return found


def principal_of(request: Request) -> str:
    return str(getattr(request.state, "principal", PRINCIPAL))


async def chunks_of(request: Request, *, at_most: int) -> AsyncIterator[bytes]:
    """The body as it comes; raises TooLarge as soon as it passes `at_most` bytes."""
    announced = request.headers.get("content-length", "0")
    size = int(announced) if announced.isdigit() else 0
    if size > at_most:
        raise _too_large(size, at_most)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > at_most:
            raise _too_large(size, at_most)
        yield chunk


async def body_of(request: Request, *, at_most: int = BODY_MAX_BYTES) -> bytes:
    return b"".join([chunk async for chunk in chunks_of(request, at_most=at_most)])


async def struct_of(request: Request, kind: type[S]) -> S:
    """The JSON body as `kind`; InvalidInput names the field that does not fit."""
    raw = await body_of(request)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"The body is not what {request.url.path} takes: {error}"
        remedy = f"Fields: {', '.join(kind.__struct_fields__)}."
        raise InvalidInput(what.rstrip("."), remedy=remedy) from None


def cursor_of(request: Request, since: str | None) -> cursor.Cursor | None:
    """Where the subscriber stands: `Last-Event-ID`, otherwise `since=`."""
    text = request.headers.get("last-event-id") or since
    return cursor.parse(text) if text else None


async def place(
    request: Request, kind: str, data: JSON, *, project: str = "", order_id: str | None = None
) -> tuple[str, Done | Refused | None]:
    """The command's id and its owner's answer; None where that took longer than an order may."""
    platform = platform_of(request)
    owner = owner_of(kind, data)
    order = Order(
        source=COMMAND_SOURCE, id=order_id or platform.new_id(), kind=kind,
        principal=principal_of(request), project=project, data=data,
        sha256=digest_of(kind, project, orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()),
    )  # fmt: skip
    try:
        async with asyncio.timeout(platform.settings.order_timeout_s):
            return order.id, await platform.owners.order(owner, order)
    except TimeoutError:
        return order.id, None


async def paced(request: Request, count: int) -> None:
    """Returns when so many may be replayed. Raises Unavailable where that is later than an order may take."""
    platform = platform_of(request)
    if not count:
        return
    await asyncio.sleep(platform.replays.wait_s(count, at_most_s=platform.settings.order_timeout_s))


def owner_of(kind: str, data: JSON) -> str:
    """Who takes such an order; where reading goes on is said to whoever reads the topic."""
    if kind == RESUME:
        name = str(data.get("topic", "")) if isinstance(data, dict) else ""
        inbound = {topic.name: topic.owner for topic in TOPICS if topic.direction is Direction.INBOUND}
        if name not in inbound:
            raise InvalidInput(f"No owner reads a topic {name!r}", remedy=did_you_mean(name, inbound))
        return inbound[name]
    prefix = kind.partition(".")[0]
    if prefix not in OWNER_OF or "." not in kind:
        raise InvalidInput(f"{kind!r} is no kind of order", remedy=did_you_mean(prefix, OWNER_OF))
    return OWNER_OF[prefix]


def pending(command_id: str) -> CommandView:
    return CommandView(id=command_id, state="pending")


def _too_large(size: int, at_most: int) -> TooLarge:
    return TooLarge(f"The body has {size:,} bytes or more", remedy=f"Send at most {at_most:,}.")
