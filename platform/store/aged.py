"""Rows past their age: which runs may leave, their part of the log, and their going.

A run leaves whole: its row, what it recorded, and its entries of the log. Only one that came to its end may;
what needs a person's attention stays. Entries of no run leave by their own age, once the Conductor and the
relay have read beyond them. What follows the log passes over the positions that have left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from ..core.inbox import LOG as LOG_TOPIC
from ..core.records.inbox import DeadLetter
from ..core.records.runs import Run, RunState
from ..wire.topics import EVENTS
from .queries import RELAY
from .reader import Reader
from .schema import (
    ATTEMPTS,
    COMMANDS,
    DEAD_LETTERS,
    GATHERINGS,
    INBOX,
    LOG,
    OFFSETS,
    OWNERS,
    PINS,
    RUN_TERMS,
    RUNS,
    STEP_CACHE,
    STEPS,
)

T = TypeVar("T")

LEAVING: Final = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
OF_A_RUN: Final = (COMMANDS, STEPS, ATTEMPTS, PINS, RUN_TERMS, LOG)
IN_ONE_MAX: Final = 400


def aged_runs(reader: Reader, before_us: int, limit: int) -> list[Run]:
    """The runs that ended before a time, longest ago first, and belong to no run that goes on.

    To one that goes on belongs what it resumes, too: it takes from there what was finished.
    """
    root = RUNS.alias()
    goes_on = sa.exists().where(root.c.id == RUNS.c.root_id, root.c.state.not_in(LEAVING))
    resumed = sa.select(root.c.resumed_from).where(root.c.state.not_in(LEAVING), root.c.resumed_from.is_not(None))
    aged = (RUNS.c.state.in_(LEAVING), RUNS.c.ended_us < before_us, ~goes_on, RUNS.c.id.not_in(resumed))
    with reader.picture() as picture:
        oldest = sa.select(RUNS.c.id).where(*aged).order_by(RUNS.c.ended_us, RUNS.c.id).limit(limit)
        runs: list[Run] = picture.rows("runs", RUNS.c.id.in_(oldest))
    return sorted(runs, key=lambda run: (run.ended_us or 0, run.id))


def any_run_of(reader: Reader, run_ids: Sequence[str]) -> bool:
    """Whether the database has one of these runs."""
    return any(reader.select(sa.select(RUNS.c.id).where(RUNS.c.id.in_(some)).limit(1)) for some in in_parts(run_ids))


def words_of(reader: Reader, run_ids: Sequence[str]) -> Iterator[sa.Row[Any]]:
    """The rows of the log that speak of these runs, run by run, in order."""
    for some in in_parts(run_ids):
        yield from reader.select(sa.select(LOG).where(LOG.c.run_id.in_(some)).order_by(LOG.c.run_id, LOG.c.position))


def words_of_no_run(reader: Reader, before_us: int, limit: int) -> list[sa.Row[Any]]:
    """The rows of the log from before a time that speak of no run, in order; none that the Conductor or the relay has
    not read yet. The other owners have what they need of these in rows of their own."""
    marks = (OFFSETS.c.owner == OWNERS[0], OFFSETS.c.topic.in_((LOG_TOPIC, RELAY)))
    read = sa.select(sa.func.min(OFFSETS.c.next)).where(*marks).scalar_subquery()
    aged = (LOG.c.run_id.is_(None), LOG.c.time_us < before_us, LOG.c.position < read)
    return reader.select(sa.select(LOG).where(*aged).order_by(LOG.c.position).limit(limit))


def any_word_at(reader: Reader, positions: Sequence[int]) -> bool:
    """Whether the database has an entry of the log at one of these positions."""
    return any(
        reader.select(sa.select(LOG.c.position).where(LOG.c.position.in_(some)).limit(1))
        for some in in_parts(positions)
    )


def forget_words(connection: sa.Connection, positions: Sequence[int]) -> int:
    """How many entries of the log have left; one of a run stays."""
    of_no_run = LOG.c.run_id.is_(None)
    gone = [sa.delete(LOG).where(of_no_run, LOG.c.position.in_(some)) for some in in_parts(positions)]
    return sum(connection.execute(statement).rowcount for statement in gone)


def forget_cache(connection: sa.Connection, before_us: int) -> int:
    """How many results of steps that were kept for other runs, made before a time, have left."""
    return connection.execute(sa.delete(STEP_CACHE).where(STEP_CACHE.c.created_us < before_us)).rowcount


def forget_resolved_letters(connection: sa.Connection, before_us: int) -> int:
    """How many dead letters that were replayed or discarded before a time have left."""
    resolved = (DEAD_LETTERS.c.state != "open", DEAD_LETTERS.c.resolved_us < before_us)
    return connection.execute(sa.delete(DEAD_LETTERS).where(*resolved)).rowcount


def open_letters(reader: Reader, before_us: int, limit: int) -> list[DeadLetter]:
    """The dead letters from before a time that nobody has resolved, longest ago first."""
    aged = (DEAD_LETTERS.c.state == "open", DEAD_LETTERS.c.received_us < before_us)
    with reader.picture() as picture:
        oldest = sa.select(DEAD_LETTERS.c.id).where(*aged).order_by(DEAD_LETTERS.c.id).limit(limit)
        letters: list[DeadLetter] = picture.rows("dead_letters", DEAD_LETTERS.c.id.in_(oldest))
    return letters


def inbox_kept_us(retention_s: float) -> int:
    """How long an event is known as taken in: what Kafka may deliver once more must be."""
    return max(int(retention_s * 1e6), EVENTS.retention_ms * 1_000)


def forgotten(connection: sa.Connection, owner: str, run_ids: Sequence[str], inbox_before_us: int) -> int:
    """How many of the runs have left; with them goes what the owner's inbox knew from before a time."""
    forget_inbox(connection, owner, inbox_before_us)
    return _forget_runs(connection, run_ids)


def forget_inbox(connection: sa.Connection, owner: str, before_us: int) -> int:
    """How many rows of the owner's inbox from before a time were taken away.

    With the Conductor's go the gatherings that had become something by then: they say what became of those events.
    """
    old = sa.delete(INBOX).where(INBOX.c.owner == owner, INBOX.c.received_us < before_us)
    if owner == OWNERS[0]:
        connection.execute(sa.delete(GATHERINGS).where(GATHERINGS.c.state != "OPEN", GATHERINGS.c.due_us < before_us))
    return connection.execute(old).rowcount


def _forget_runs(connection: sa.Connection, run_ids: Sequence[str]) -> int:
    """How many of them left; one that has not come to its end stays."""
    count = 0
    for some in in_parts(run_ids):
        left = sa.select(RUNS.c.id).where(RUNS.c.id.in_(some), RUNS.c.state.in_(LEAVING))
        going = list(connection.scalars(left))
        for table in OF_A_RUN:
            connection.execute(sa.delete(table).where(table.c.run_id.in_(going)))
        connection.execute(sa.delete(RUNS).where(RUNS.c.id.in_(going)))
        count += len(going)
    return count


def in_parts(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one statement may name."""
    for start in range(0, len(keys), IN_ONE_MAX):
        yield keys[start : start + IN_ONE_MAX]
