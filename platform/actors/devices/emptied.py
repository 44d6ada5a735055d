"""Attempts whose devices are to be emptied, as the rows and the log have them."""

from __future__ import annotations

from collections import defaultdict

from ...core.gpu_messages import Examine, Part, Released, examine, parts_of
from ...core.records.attempts import Attempt
from ...core.records.leases import Lease, LeaseState
from ...store.reader import Picture
from ...store.schema import ATTEMPTS, LEASES, LOG
from ...wire.entries.steps import StepFailed, StepSucceeded


def released_in(
    picture: Picture, ended: dict[int, bool] | None = None, *, before_us: int | None = None
) -> list[Released]:
    """Attempts with RELEASING leases: those in `ended` (fence → seen empty), or all released before a time."""
    where = [LEASES.c.state == LeaseState.RELEASING]
    if ended is not None:
        where.append(LEASES.c.fence.in_(list(ended)))
    if before_us is not None:
        where.append(LEASES.c.released_us < before_us)
    leases: dict[int, list[Lease]] = defaultdict(list)
    for lease in picture.rows("leases", *where):
        leases[lease.fence].append(lease)
    if not leases:
        return []
    attempts: list[Attempt] = picture.rows("attempts", ATTEMPTS.c.fence.in_(list(leases)))
    seen = ended if ended is not None else _seen_empty(picture, leases)
    return [
        _released(attempt, leases[attempt.fence], seen_empty=seen.get(attempt.fence, False)) for attempt in attempts
    ]


def quarantined_in(picture: Picture) -> list[Examine]:
    """What is to be seen gone before devices leave quarantine: of each attempt that left something there."""
    leases: dict[int, list[Lease]] = defaultdict(list)
    for lease in picture.rows("leases", LEASES.c.state == LeaseState.QUARANTINED):
        leases[lease.fence].append(lease)
    attempts: list[Attempt] = picture.rows("attempts", ATTEMPTS.c.fence.in_(list(leases))) if leases else []
    found = [_released(attempt, leases[attempt.fence], seen_empty=False) for attempt in attempts]
    return [examine(parts_of(released, released.leases), released.leases) for released in found]


def _released(attempt: Attempt, leases: list[Lease], *, seen_empty: bool) -> Released:
    bound = ((each, each.worker) for each in attempt.members if each.worker is not None)
    parts = (Part(each.node, "" if each.seen_empty else worker, each.devices) for each, worker in bound)
    return Released(attempt.fence, attempt.worker, seen_empty, tuple(leases), tuple(parts))


def _seen_empty(picture: Picture, leases: dict[int, list[Lease]]) -> dict[int, bool]:
    """What the entry that ended each attempt said: it has the time at which the leases were released."""
    times = {lease.released_us for held in leases.values() for lease in held}
    ends = picture.entries(LOG.c.time_us.in_(times), LOG.c.type.in_(("step.succeeded", "step.failed")))
    bodies = [entry.body for entry in ends]
    return {body.fence: body.seen_empty for body in bodies if isinstance(body, StepSucceeded | StepFailed)}
