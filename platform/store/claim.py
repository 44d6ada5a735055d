"""One platform to a database: a lock that the server gives to a session, and takes back when that session ends.

The embedded file needs none: it lies in a home folder, and whoever runs holds the folder.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from ..errors import Conflict
from .engine import DEFAULT_WAITS, answered, open_engine
from .postgres import Waits

KEY: Final = 0x6865_6164_7761_7465  # "headwate", in the database's own space of advisory locks


class Claim:
    """`hold` again and again: it takes the lock where it is not held, and finds out where it was lost."""

    def __init__(self, url: str, *, waits: Waits = DEFAULT_WAITS) -> None:
        self._engine = open_engine(url, waits=waits)
        self._session: sa.Connection | None = None

    def hold(self) -> None:
        """Raises Conflict where another platform holds the database, Unavailable where it does not answer."""
        if self._engine.dialect.name != "postgresql":
            return
        try:
            self._hold()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()

    def _hold(self) -> None:
        if self._session is not None:
            with answered(self._engine):
                self._session.scalar(sa.select(1))
                self._session.commit()
            return
        with answered(self._engine):
            self._session = self._engine.connect()
            taken = self._session.scalar(sa.select(sa.func.pg_try_advisory_lock(KEY)))
            self._session.commit()
        if not taken:
            where = self._engine.url.render_as_string(hide_password=True)
            remedy = "End it, or give this one a database of its own with store.url"
            raise Conflict(f"Another platform runs on the database {where}", remedy=remedy)
