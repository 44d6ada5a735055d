"""An owner on a real store, without Ray and Kafka: nobody to tell, no topic to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from headwater.actors.owner import OwnerActor
from headwater.actors.wiring import Wiring
from headwater.config import load
from headwater.store.engine import create, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.calls import Order
from headwater.wire.types import AnyBody, Entry, Said


class Lent(Wiring, frozen=True, kw_only=True):
    """Knows the engines that it has given away, so that a test can close the connections to its server."""

    lent: list[sa.Engine] = msgspec.field(default_factory=list)

    def engine(self, *, read_only: bool = False) -> sa.Engine:
        self.lent.append(Wiring.engine(self, read_only=read_only))
        return self.lent[-1]


def a_wiring(home: Path, url: str = "") -> Lent:
    """A home folder with an empty store, or with that of the database `url`."""
    url = url or sqlite_url(home / "store.db")
    create(url, store_epoch="e1")
    return Lent(
        home=str(home),
        store_url=url,
        bootstrap="",
        settings=load(environment={}, flags={"home": str(home), "store.archive_after_s": 0, "store.log_keep_s": 0}),
        http_port=0,
        serve_port=0,
    )


def alone(kind: type[OwnerActor]) -> Any:
    """The same actor, by itself; its methods are called plainly, for which Ray's types have no word."""

    class Alone(kind):  # type: ignore[misc, valid-type]
        command_topic = None

        async def _attach(self) -> None:
            return

        def _published(self, entries: list[Entry]) -> None:
            return

    return Alone


@asynccontextmanager
async def living(actor: Any) -> AsyncIterator[Any]:
    """The actor, started; its tasks are ended at the end, as a crash would end them."""
    await actor.start()
    try:
        yield actor
    finally:
        tasks = list(actor._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        actor.journal.close()


def entries(wiring: Wiring, kind: type[AnyBody] | None = None) -> list[Entry]:
    """The log as it stands, narrowed to one kind of word."""
    found = Reader(wiring.engine(read_only=True)).entries(0)
    return [entry for entry in found if kind is None or isinstance(entry.body, kind)]


def say(wiring: Wiring, owner: str, said: Sequence[Said], changes: dict[str, dict[Any, msgspec.Struct]]) -> None:
    """What another owner commits."""
    writer = Writer(wiring.engine(), owner)
    writer.take_epoch()
    writer.commit(changes, said)


def an_order(kind: str, number: int = 1, **data: Any) -> Order:
    return Order(source="cli", id=f"c{number}", kind=kind, principal="ann", project="flights", data=data)
