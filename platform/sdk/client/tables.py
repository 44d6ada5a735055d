"""Tables by name: rows are appended as one commit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from ...wire.api.tables import Appended
from .call import Call, Program, ask
from .ids import new_id
from .rows import arrow_stream

if TYPE_CHECKING:
    from .async_link import AsyncLink
    from .link import Link
    from .rows import Rows


class TableHandle:
    def __init__(self, link: Link, name: str) -> None:
        self._link, self.name = link, name

    def append(self, rows: Rows, *, key: str | None = None, project: str = "") -> Appended:
        """One commit of the rows, streamed. The same key again makes no second commit."""
        return self._link.do(append(self.name, rows, key=key, project=project))


class AsyncTableHandle:
    def __init__(self, link: AsyncLink, name: str) -> None:
        self._link, self.name = link, name

    def append(self, rows: Rows, *, key: str | None = None, project: str = "") -> Awaitable[Appended]:
        return self._link.do(append(self.name, rows, key=key, project=project))


def append(table: str, rows: Rows, *, key: str | None, project: str) -> Program[Appended]:
    path = f"/v1/tables/{quote(table, safe='')}/append?{urlencode({'project': project})}"
    headers = {"Content-Type": "application/vnd.apache.arrow.stream", "Idempotency-Key": key or new_id()}
    return ask(Call("POST", path, headers, arrow_stream(rows)), Appended)
