"""How a session with PostgreSQL behaves: bounded in every wait, and blind to what SQLite would also keep.

A session that falls silent inside a transaction is ended by the server, so that the log's head row does
not stay locked; one that waits for that row gives up only after the silent one must have been ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ..config import Store
from ..errors import InvalidInput, Unavailable

READER_MAX_S: Final = 600.0  # a reader locks nothing; it may decode a large picture
NUL, SEEN = "\0", "\N{SYMBOL FOR NULL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Bounds in seconds: for the lock of the head row, for silence inside a transaction, for the server."""

    lock_s: float = 30.0
    silent_s: float = 10.0
    reach_s: float = 10.0

    @classmethod
    def of(cls, store: Store) -> Waits:
        return cls(lock_s=store.lock_within_s, silent_s=store.silent_within_s, reach_s=store.reach_within_s)

    def __post_init__(self) -> None:
        if self.lock_s <= self.silent_s:
            what = f"store.lock_within_s is {self.lock_s:g}, store.silent_within_s is {self.silent_s:g}"
            raise InvalidInput(what, remedy="The first must be the longer: it outwaits a writer that fell silent")


def full_url(url: str) -> sa.URL:
    """The URL with the driver that we use, whichever way the scheme was written."""
    parsed = sa.make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def open_postgres(url: str, waits: Waits, *, read_only: bool) -> sa.Engine:
    """Readers see one moment in each transaction (REPEATABLE READ); writers are put in line by the head row."""
    try:
        engine = sa.create_engine(
            full_url(url),
            poolclass=sa.pool.QueuePool,
            pool_size=4,
            max_overflow=12,
            pool_pre_ping=True,
            pool_timeout=waits.reach_s,
            connect_args=_connect_args(waits, read_only=read_only),
        )
    except ModuleNotFoundError as error:
        what = f"The store is PostgreSQL, and its driver is not installed: {error}"
        raise Unavailable(what, remedy="pip install 'headwater[postgres]'") from None
    sa.event.listen(engine, "connect", _show_nul)
    return engine


def _connect_args(waits: Waits, *, read_only: bool) -> dict[str, Any]:
    session = {
        "lock_timeout": _ms(waits.lock_s),
        "idle_in_transaction_session_timeout": _ms(READER_MAX_S if read_only else waits.silent_s),
        "tcp_keepalives_idle": math.ceil(waits.silent_s),  # a machine that is gone answers none
        "tcp_keepalives_interval": 1,
        "tcp_keepalives_count": 3,
        "synchronous_commit": "on",
        "default_transaction_isolation": r"repeatable\ read" if read_only else r"read\ committed",
        "default_transaction_read_only": "on" if read_only else "off",
        "jit": "off",
    }
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
        "application_name": "headwater",
        "connect_timeout": math.ceil(waits.reach_s),
        "tcp_user_timeout": _ms(waits.reach_s),
    }


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1_000)


def _show_nul(connection: Any, _record: object) -> None:
    """PostgreSQL's text holds no NUL: it is kept as the symbol for it, in what is written and in what is sought."""
    from psycopg.types.string import StrDumperUnknown

    class Shown(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace(NUL, SEEN) if NUL in obj else obj)

    connection.adapters.register_dumper(str, Shown)
