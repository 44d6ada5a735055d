"""Looking up what was taken in before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from ..core.inbox import LOG as LOG_TOPIC
from ..core.records.inbox import DeadLetter, InboxRow
from ..core.records.runs import CommandRow, Pin, Run
from ..core.records.steps import CacheEntry
from ..core.replays import REPLAYED_AT_ONCE
from ..wire.envelope import Event
from ..wire.terms import JSON
from ..wire.topics import RUN_COMMANDS
from ..wire.types import Entry
from .reader import Picture, Reader
from .schema import COMMANDS, DEAD_LETTERS, INBOX, LOG, OWNERS, PINS, RUNS, STEP_CACHE

Identity = tuple[str, str]
IN_ONE_MAX = 400
RESUMED_MAX = 16  # runs that resume one another, looked through for what was finished


async def known_inbox(reader: Reader, owner: str, said: Iterable[Any]) -> dict[Identity, InboxRow]:
    """The inbox rows of those events, or (source, id) pairs, that were taken in before."""
    identities = [
        (one.source, one.id) if isinstance(one, Event) else one for one in said if isinstance(one, Event | tuple)
    ]
    if not identities:
        return {}
    return await asyncio.to_thread(_known, reader, owner, identities)


def _known(reader: Reader, owner: str, identities: list[Identity]) -> dict[Identity, InboxRow]:
    found: dict[Identity, InboxRow] = {}
    with reader.picture() as picture:
        for start in range(0, len(identities), IN_ONE_MAX):
            keys = [(owner, source, id_) for source, id_ in identities[start : start + IN_ONE_MAX]]
            found.update({(row.source, row.id): row for row in picture.of_keys("inbox", keys)})
    return found


class Accepted(msgspec.Struct, frozen=True):
    """Events since a run began: inbox rows, and entries of those that flows have published, up to `position`."""

    rows: list[InboxRow]
    entries: list[Entry]
    position: int


def accepted_since(reader: Reader, run_id: str, types: Iterable[str]) -> Accepted:
    """The events of these types that were accepted since the run began, oldest first."""
    with reader.picture() as picture:
        began = sa.select(RUNS.c.created_us).where(RUNS.c.id == run_id).scalar_subquery()
        of_types = INBOX.c.type.in_(list(types)), INBOX.c.received_us >= began, INBOX.c.topic != LOG_TOPIC
        rows = picture.rows("inbox", INBOX.c.owner == OWNERS[0], *of_types)
        first = sa.select(LOG.c.position).where(LOG.c.run_id == run_id, LOG.c.seq == 1).scalar_subquery()
        published = picture.entries(LOG.c.position > first, LOG.c.type == "event.published")
        position = picture.position
    return Accepted(sorted(rows, key=lambda row: row.received_us), published, position)


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a replay takes: by id, or by type and the time they came; after a place among them."""

    ids: tuple[str, ...] = ()
    type: str = ""
    since: int | None = None
    until: int | None = None
    after: tuple[int, str, str] | None = None


class Kept(msgspec.Struct, frozen=True):
    """A page of kept events, how many there are of all, and the runs of those keys that there are."""

    rows: list[InboxRow]
    count: int
    runs: dict[str, str]


def kept_events(
    reader: Reader, chosen: Chosen, key_of: Callable[[InboxRow], str], *, limit: int = REPLAYED_AT_ONCE
) -> Kept:
    """In the order in which they came."""
    order = (INBOX.c.received_us, INBOX.c.source, INBOX.c.id)
    where = [INBOX.c.owner == OWNERS[0], INBOX.c.topic.not_in(("", RUN_COMMANDS.name))]
    where += [INBOX.c.id.in_(chosen.ids)] if chosen.ids else [INBOX.c.type == chosen.type]
    where += [] if chosen.since is None else [INBOX.c.received_us >= chosen.since]
    where += [] if chosen.until is None else [INBOX.c.received_us < chosen.until]
    with reader.picture() as picture:
        count = picture.scalar(sa.select(sa.func.count()).select_from(INBOX).where(*where))
        if chosen.after is not None:
            where.append(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, chosen.after)))
        page = sa.select(INBOX.c.source, INBOX.c.id).where(*where).order_by(*order).limit(limit).subquery()
        mine = sa.tuple_(INBOX.c.source, INBOX.c.id).in_(sa.select(page.c.source, page.c.id))
        rows: list[InboxRow] = picture.rows("inbox", INBOX.c.owner == OWNERS[0], mine)
        runs: list[Run] = picture.rows("runs", RUNS.c.idempotency_key.in_([key_of(row) for row in rows]))
    rows.sort(key=lambda row: (row.received_us, row.source, row.id))
    return Kept(rows, int(count or 0), {run.idempotency_key: run.id for run in runs})


def letters_of(reader: Reader, ids: Iterable[str]) -> list[DeadLetter]:
    """The dead letters of those ids that there are."""
    with reader.picture() as picture:
        letters: list[DeadLetter] = picture.rows("dead_letters", DEAD_LETTERS.c.id.in_(list(ids)[:IN_ONE_MAX]))
    return letters


def run_of(reader: Reader, run_id: str) -> Run | None:
    """The run as the rows have it."""
    with reader.picture() as picture:
        found: list[Run] = picture.rows("runs", RUNS.c.id == run_id)
    return found[0] if found else None


def commands_of(reader: Reader, run_id: str, keys: Iterable[str]) -> list[CommandRow]:
    """What a run, and the runs that it resumed, have asked for under these keys: the run's own first."""
    wanted, found = list(keys), list[CommandRow]()
    with reader.picture() as picture:
        for run in _line(picture, run_id):
            for start in range(0, len(wanted), IN_ONE_MAX):
                some = COMMANDS.c.key.in_(wanted[start : start + IN_ONE_MAX])
                found += picture.rows("commands", COMMANDS.c.run_id == run, some)
    return found


def pin_before(reader: Reader, run_id: str, kind: str, name: str) -> JSON:
    """What a run saw of a table or model, or the nearest of those that it resumed; None where none has looked."""
    with reader.picture() as picture:
        for run in _line(picture, run_id):
            found: list[Pin] = picture.rows("pins", PINS.c.run_id == run, PINS.c.kind == kind, PINS.c.name == name)
            if found:
                return found[0].body
    return None


def steps_named(reader: Reader, run_id: str, step: str) -> tuple[str, ...]:
    """The names of the run's steps, and `step` where that is the key of one."""
    of_run = (COMMANDS.c.run_id == run_id, COMMANDS.c.kind == "step")
    names = [row.name for row in reader.select(sa.select(COMMANDS.c.name).distinct().where(*of_run))]
    keys = [row.key for row in reader.select(sa.select(COMMANDS.c.key).where(*of_run, COMMANDS.c.key == step))]
    return (*sorted(names), *keys)


def _line(picture: Picture, run_id: str) -> list[str]:
    """The run, the one that it resumed, and so on."""
    line: list[str] = []
    before: str | None = run_id
    while before is not None and len(line) < RESUMED_MAX:
        line.append(before)
        before = picture.scalar(sa.select(RUNS.c.resumed_from).where(RUNS.c.id == before))
    return line


def cached_steps(reader: Reader, keys: Iterable[str]) -> dict[str, CacheEntry]:
    """The kept results of steps, by their cache key."""
    wanted, found = list(keys), dict[str, CacheEntry]()
    with reader.picture() as picture:
        for start in range(0, len(wanted), IN_ONE_MAX):
            rows = picture.rows("step_cache", STEP_CACHE.c.key.in_(wanted[start : start + IN_ONE_MAX]))
            found.update({row.key: row for row in rows})
    return found


def runs_of_keys(reader: Reader, keys: Iterable[str]) -> dict[str, str]:
    """The runs that were started under these idempotency keys, by key."""
    wanted, found = list(keys), dict[str, str]()
    with reader.picture() as picture:
        for start in range(0, len(wanted), IN_ONE_MAX):
            rows: list[Run] = picture.rows("runs", RUNS.c.idempotency_key.in_(wanted[start : start + IN_ONE_MAX]))
            found.update({row.idempotency_key: row.id for row in rows})
    return found


def run_of_key(reader: Reader, key: str) -> str | None:
    """The run that was started under an idempotency key."""
    with reader.picture() as picture:
        run_id: str | None = picture.scalar(sa.select(RUNS.c.id).where(RUNS.c.idempotency_key == key))
    return run_id
