"""One platform to a database: a lease by the server's clock, renewed for as long as the platform lives.

    nobody, or a lease that ran out ─► mine ─► renewed every third of its lifetime ─► let go, at an ordered end
                                         └──► another's, where it was not renewed in time: `check` says so

The same platform (its home folder) has the lease at once, whatever it says; another waits until it ran out. Owners
take their epoch only while their platform has the lease, so that one that was passed by cannot come back. The
embedded file needs none: it lies in a home folder, and whoever runs holds the folder.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from ..errors import Conflict, Unavailable
from .engine import DEFAULT_WAITS, answered, open_engine
from .postgres import Waits

KEY: Final = 0x6865_6164_7761_7465  # "headwate", in the database's own space of advisory locks
RENEW_S: Final = 2.0
LOOK_S: Final = 0.2

CREATE: Final = sa.text(
    "CREATE TABLE IF NOT EXISTS instance_lease ("
    "id integer PRIMARY KEY, holder text NOT NULL, said text NOT NULL, until timestamptz NOT NULL)"
)
TAKE: Final = sa.text(
    "INSERT INTO instance_lease (id, holder, said, until) "
    "VALUES (1, :me, :said, clock_timestamp() + :lifetime * interval '1 second') "
    "ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, said = excluded.said, until = excluded.until "
    "WHERE instance_lease.holder = :me OR instance_lease.until < clock_timestamp() RETURNING until"
)
OTHER: Final = sa.text("SELECT said, until FROM instance_lease")
LET_GO: Final = sa.text("UPDATE instance_lease SET until = clock_timestamp() WHERE holder = :me")

log = logging.getLogger("headwater.claim")


def held_by(holder: str) -> sa.ColumnElement[bool]:
    """The condition that no other platform has taken the lease, for the statement that needs it."""
    lease = sa.table("instance_lease", sa.column("holder"))
    return sa.exists().where(lease.c.holder == holder)


@dataclass(frozen=True, slots=True)
class Holder:
    """A platform: the id of its home folder, how people know it, and how long its lease lasts unrenewed."""

    id: str
    said: str
    lifetime_s: float = 30.0


class Claim:
    """`take` once, then `keep`; `check` from time to time; `release` at the end."""

    def __init__(self, url: str, holder: Holder, *, waits: Waits = DEFAULT_WAITS) -> None:
        self._engine, self._holder = open_engine(url, waits=waits), holder
        self._stopping = threading.Event()
        self._lost: Conflict | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_needed(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    def take(self) -> None:
        """Waits for a lease that nobody renews. Raises Conflict where its holder lives, Unavailable where the database
        does not answer."""
        if not self.is_needed:
            return
        self._make()
        seen: datetime | None = None
        while (other := self._try()) is not None:
            if seen is not None and other != seen:
                raise self._conflict()
            seen = other
            time.sleep(LOOK_S)

    def keep(self) -> None:
        """From now on the lease is renewed, in a thread of its own."""
        if self.is_needed:
            self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raises Conflict where another platform has taken over."""
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """Others may take over at once. A database that does not answer is left alone."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=RENEW_S)
            self._thread = None
        if self.is_needed and self._lost is None:
            try:
                with answered(self._engine), self._engine.begin() as connection:
                    connection.execute(LET_GO, {"me": self._holder.id})
            except Unavailable as error:
                log.warning("The lease was not let go, and runs out by itself: %s", error)
        self._engine.dispose()

    def _renew(self) -> None:
        while not self._stopping.wait(min(RENEW_S, self._holder.lifetime_s / 3)):
            try:
                if self._try() is not None:
                    self._lost = self._conflict()
                    return
            except Unavailable as error:  # it runs on: whoever asks for an epoch is told whether it was in time
                log.warning("The lease was not renewed: %s", error)

    def _make(self) -> None:
        with answered(self._engine), self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(KEY)))
            connection.execute(CREATE)

    def _try(self) -> datetime | None:
        """None where the lease is mine now; otherwise until when it is another's."""
        holder = self._holder
        words = {"me": holder.id, "said": holder.said, "lifetime": holder.lifetime_s}
        with answered(self._engine), self._engine.begin() as connection:
            if connection.execute(TAKE, words).first() is not None:
                return None
            until: datetime = connection.execute(OTHER).one().until
            return until

    def _conflict(self) -> Conflict:
        with answered(self._engine), self._engine.begin() as connection:
            other = connection.execute(OTHER).one()
        where = self._engine.url.render_as_string(hide_password=True)
        remedy = "End it, or give this one a database of its own with store.url"
        return Conflict(f"Another platform runs on the database {where}: {other.said}", remedy=remedy)
