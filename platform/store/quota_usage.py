"""What each project had of the devices, counted from the rows of leases, exactly, for any stretch of time.

    lease     since_us ───────────────────── released_us ── freed_us
    attempt        started_us ── ended_us         (in the lease's own row once it is released)
              idle │ running            │ idle (being emptied)

A lease counts for its share of the device (thousandths) as long as the device is kept from others. Of that time the
part in which the attempt ran is running, the rest idle. Times are cut to milliseconds, so that a sum fits in 64 bits
(thousandths by milliseconds are millionths of a GPU-second), and what is cut at one stretch's end begins the next.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from ..core.records.leases import LeaseState
from ..errors import InvalidInput
from ..wire.api.quota import Used
from .schema import ATTEMPTS, LEASES

BUCKETS_MAX: Final = 1_000
Column = sa.ColumnElement[int]


def buckets_of(from_us: int, to_us: int, bucket_s: int) -> int:
    """How many stretches that makes. Raises InvalidInput where there is none, or are too many."""
    if bucket_s < 1 or to_us <= from_us:
        what = f"Usage was asked from {from_us} to {to_us} by {bucket_s} s"
        raise InvalidInput(what, remedy="Give `from` before `to`, in microseconds UTC, and a bucket of 1 s or more.")
    count = -(-(to_us - from_us) // (bucket_s * 1_000_000))
    if count > BUCKETS_MAX:
        what = f"From {from_us} to {to_us} there are {count:,} buckets of {bucket_s} s"
        raise InvalidInput(what, remedy=f"Ask for at most {BUCKETS_MAX:,}: a longer bucket or a shorter time.")
    return count


def usage(
    connection: sa.Connection, *, from_us: int, to_us: int, bucket_s: int, now_us: int, project: str | None = None
) -> tuple[Used, ...]:
    """Each project in each stretch in which it had something. What has not ended counts until `now_us`."""
    buckets = _buckets(from_us, to_us, bucket_s, buckets_of(from_us, to_us, bucket_s))
    began, ended = buckets.c.began, buckets.c.ended
    held_to = _until(LEASES.c.freed_us, LEASES.c.state == LeaseState.FREE, now_us)
    began_to_run = sa.func.coalesce(LEASES.c.started_us, ATTEMPTS.c.started_us)
    ran_to = _least(held_to, sa.func.coalesce(LEASES.c.ended_us, ATTEMPTS.c.ended_us, LEASES.c.released_us, held_to))
    leased = _overlap(LEASES.c.since_us, held_to, began, ended)
    running = _overlap(_greatest(began_to_run, LEASES.c.since_us), ran_to, began, ended)
    statement = (
        sa.select(
            LEASES.c.project,
            began,
            ended,
            _summed(leased),
            _summed(sa.case((began_to_run.is_(None), 0), else_=running)),
            sa.func.count(sa.distinct(LEASES.c.fence)),
        )
        .select_from(
            LEASES.join(buckets, sa.and_(LEASES.c.since_us < ended, held_to > began)).outerjoin(
                ATTEMPTS, ATTEMPTS.c.fence == LEASES.c.fence
            )
        )
        .where(*([] if project is None else [LEASES.c.project == project]))
        .group_by(LEASES.c.project, began, ended)
        .order_by(began, LEASES.c.project)
    )
    return tuple(map(_used, connection.execute(statement)))


def _used(row: Any) -> Used:
    project, began, ended, leased, running, attempts = row
    leased_ms, running_ms = int(leased) // 1000, int(running) // 1000
    return Used(
        project=project, from_us=began, to_us=ended, leased_gpu_ms=leased_ms, running_gpu_ms=running_ms,
        idle_gpu_ms=leased_ms - running_ms, attempts=attempts,
    )  # fmt: skip


def _buckets(from_us: int, to_us: int, bucket_s: int, count: int) -> sa.CTE:
    """A row for each stretch, made by the database so that their number does not make the statement long."""
    size = bucket_s * 1_000_000
    first = sa.select(sa.cast(sa.literal(0), sa.BigInteger).label("number")).cte("numbers", recursive=True)
    numbers = first.union_all(sa.select(first.c.number + 1).where(first.c.number + 1 < count))
    began = (from_us + numbers.c.number * size).label("began")
    return sa.select(began, _least(began + size, sa.literal(to_us, sa.BigInteger)).label("ended")).cte("buckets")


def _until(at: Column, is_over: sa.ColumnElement[bool], now_us: int) -> Column:
    return sa.case((sa.and_(is_over, at.is_not(None)), at), else_=sa.literal(now_us, sa.BigInteger))


def _overlap(start: Column, end: Column, began: Column, ended: Column) -> Column:
    """Milliseconds that the two stretches have in common."""
    low, high = _greatest(start, began), _least(end, ended)
    return sa.case((high > low, high // 1000 - low // 1000), else_=0)


def _summed(milliseconds: Column) -> Column:
    return sa.func.sum(LEASES.c.milli * milliseconds)


def _least(a: Column, b: Column) -> Column:
    return sa.case((a < b, a), else_=b)


def _greatest(a: Column, b: Column) -> Column:
    return sa.case((a > b, a), else_=b)
