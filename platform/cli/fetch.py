"""Listings over bare `http.client`, for an answer in a blink. Standard library only."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import HeadwaterError, InvalidInput, Unavailable
from ..sdk.client.address import Address, find
from .listings import Listing

TIMEOUT_S = 30.0
PAGE_MAX = 1_000
LIMIT = 50
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def items(listing: Listing, filters: Mapping[str, str], *, limit: int = LIMIT) -> list[dict[str, Any]]:
    """At most `limit` items of a listing; raises HeadwaterError in the platform's own words."""
    address = find()
    asked = {name: text for name, text in filters.items() if text}
    if "since" in asked:
        asked["since"] = str(since_us(asked["since"]))
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        paging = {"limit": str(min(limit - len(found), PAGE_MAX))} if listing.is_paged else {}
        page = get(address, listing.path, {**asked, **paging})
        found += page["items"]
        if page.get("next") is None:
            break
        asked["after"] = page["next"]
    return found[:limit]


def get(address: Address, path: str, query: Mapping[str, str]) -> Any:
    """The JSON of one GET."""
    given = "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
    parts = urlsplit(address.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {address.token}"}
        connection.request("GET", f"{path}?{given}" if given else path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        what = f"{address.url} does not answer ({error})"
        raise Unavailable(what, remedy="Is the platform up? `headwater up` starts it.") from None
    finally:
        connection.close()
    if response.status >= 400:
        raise _problem(response.status, body)
    return json.loads(body)


def since_us(text: str) -> int:
    """Microseconds UTC of an age (`90s`, `15m`, `2h`, `3d`) or of an ISO date and time."""
    if text[:-1].isdigit() and text[-1:] in UNITS_S:
        return int((time.time() - int(text[:-1]) * UNITS_S[text[-1]]) * 1e6)
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1e6)
    except ValueError:
        remedy = "Give an age like 15m, 2h or 3d, or a time like 2026-01-31T08:00."
        raise InvalidInput(f"{text!r} is no time", remedy=remedy) from None


def _problem(status: int, body: bytes) -> HeadwaterError:
    try:
        said = json.loads(body)["error"]
        return HeadwaterError(said["message"], remedy=said.get("remedy", ""))
    except (ValueError, KeyError, TypeError):
        return HeadwaterError(f"The platform answered with HTTP {status}: {body[:200]!r}")
