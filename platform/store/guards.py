"""The guards of grants and reclaims, asked from rows inside the transaction that would commit them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from ..core import turn
from ..core.records.attempts import AttemptState
from ..core.records.leases import LeaseState
from ..core.records.steps import StepState
from ..core.turn import GrantGuard, ReclaimGuard
from .schema import ATTEMPTS, LOG_HEAD, QUOTA_TREES, STEPS
from .writer import Guard

_SUPPOSED: Final = (
    "SELECT (SELECT scheduler_epoch FROM log_head), (SELECT max(version) FROM quota_trees), "
    "(SELECT state FROM steps WHERE id = {marks})"
)

_DEVICES: Final = (
    "SELECT devices.id, (SELECT coalesce(sum(milli), 0) FROM leases "
    f"WHERE leases.device = devices.id AND leases.state <> '{LeaseState.FREE}') "
    "FROM devices JOIN nodes ON nodes.id = devices.node "
    "WHERE devices.state = 'READY' AND nodes.state = 'READY' AND devices.id IN ({marks})"
)

_ELSEWHERE: Final = (
    sa.select(sa.func.count())
    .select_from(STEPS)
    .where(STEPS.c.id.in_(sa.bindparam("steps", expanding=True)), STEPS.c.state != StepState.WAITING)
)


_LIVE: Final = sa.select(
    sa.select(LOG_HEAD.c.scheduler_epoch).scalar_subquery(),
    sa.select(sa.func.max(QUOTA_TREES.c.version)).scalar_subquery(),
    sa.select(ATTEMPTS.c.state).where(ATTEMPTS.c.fence == sa.bindparam("fence")).scalar_subquery(),
)


def guard_of(wanted: turn.Guard) -> Guard:
    """Objects with the reason where a row says otherwise than the proposal supposes."""
    return grant_guard(wanted) if isinstance(wanted, GrantGuard) else reclaim_guard(wanted)


def reclaim_guard(wanted: ReclaimGuard) -> Guard:
    """Objects with the reason where a row says otherwise than the reclaim supposes."""

    def ask(connection: sa.Connection) -> str:
        epoch, version, state = connection.execute(_LIVE, {"fence": wanted.fence}).one()
        reason = _led(wanted, epoch, version)
        if not reason and state not in (AttemptState.LEASED, AttemptState.RUNNING, None):
            return f"over: attempt {wanted.fence} is {state}"
        return reason

    return ask


def grant_guard(wanted: GrantGuard) -> Guard:
    """Objects with the reason where a row says otherwise than the grant supposes."""

    def ask(connection: sa.Connection) -> str:
        ((epoch, version, state),) = _asked(connection, _SUPPOSED, (wanted.step_id,))
        reason = _led(wanted, epoch, version)
        if reason:
            return reason
        if state not in (StepState.WAITING, None):  # None: it begins to wait in this very transaction
            return "step_not_waiting"
        if wanted.until_us is not None and time.time_ns() // 1_000 > wanted.until_us:
            return f"late: the place was kept until {wanted.until_us}"
        if wanted.companions and connection.scalar(_ELSEWHERE, {"steps": wanted.companions}):
            return "step_not_waiting: one that goes along"
        return _devices_free(connection, wanted) if wanted.devices else ""

    return ask


def _led(wanted: turn.Guard, epoch: int, version: int) -> str:
    if epoch != wanted.scheduler_epoch:
        return f"scheduler_epoch: {wanted.scheduler_epoch} proposed, {epoch} leads"
    if version != wanted.tree_version:
        return f"tree_version: decided on {wanted.tree_version}, the tree is {version}"
    return ""


def _devices_free(connection: sa.Connection, wanted: GrantGuard) -> str:
    """One question for all: a row for each device in service, with what is lent of it. The words of the index on live
    leases stand in it, so that it never looks at those that are over."""
    found = _asked(connection, _DEVICES, wanted.devices)
    if len(found) != len(wanted.devices):
        return f"device_out_of_service: of {', '.join(wanted.devices)}"
    return next((f"device_held: {device}" for device, milli in found if milli + wanted.milli > 1000), "")


def _asked(connection: sa.Connection, sql: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of a question that is asked for every grant: straight of the driver, which answers in a fifth of the
    time. `{marks}` stands for the values."""
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    driver: Any = connection.connection.driver_connection
    found: list[tuple[Any, ...]] = driver.execute(sql.format(marks=", ".join([mark] * len(values))), values).fetchall()
    return found
