"""Which places the replicas of deployments should have, and which runs are to be started and ended for it.

A place is kept by a run of the platform's own flow, one for each replica that leases devices. What is wanted follows
from the deployments' rows, what there is from the runs'; the difference is asked for again until it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from ..core.inventory import Deployment
from ..core.records.runs import Run, RunState

AGAIN_AFTER_S: Final = 15
AGAIN_MAX_S: Final = 600


class Place(Struct, frozen=True):
    """What the run of one replica is started with."""

    folder: str
    replica: int
    gpus_milli: int
    gpu_model: str
    tier: int


class Wish(NamedTuple):
    """A place that is wanted, in whose name and since when."""

    model: str
    project: str
    place: Place
    since_us: int


class Change(NamedTuple):
    start: list[Wish]
    end: list[Run]


def wishes(rows: Iterable[Deployment], root: str) -> list[Wish]:
    """One for each replica that leases devices; `root` is where the seats of all deployments are."""
    return [
        Wish(
            row.name,
            row.project,
            Place(f"{root}/{row.name}", replica, row.gpus_milli, row.gpu_model, row.tier),
            row.requested_us,
        )
        for row in rows
        if row.gpus_milli
        for replica in range(row.replicas_max)
    ]


def change(wanted: Sequence[Wish], runs: Iterable[Run], now_us: int) -> Change:
    """`runs` are those of the flow that live, and those that ended since the oldest wish. Two for one place: the
    younger ends. One that failed is started again after a pause, which doubles."""
    living: dict[tuple[str, Place], list[Run]] = {}
    failed: dict[tuple[str, Place], list[Run]] = {}
    for run in sorted(runs, key=lambda each: each.id):
        of = failed if run.state is RunState.FAILED else living
        if run.state is RunState.FAILED or not (run.state.ended or run.state is RunState.CANCELLING):
            of.setdefault((run.project, place_of(run.parameters)), []).append(run)
    start = []
    for wish in wanted:
        there = living.get((wish.project, wish.place))
        if there:
            there.pop(0)
        elif _may_start(failed.get((wish.project, wish.place), []), wish, now_us):
            start.append(wish)
    return Change(start, [run for rest in living.values() for run in rest])


def last_failure(wish: Wish, runs: Iterable[Run]) -> str:
    """Why its newest run failed; empty where none has since it was wished."""
    of = [run for run in runs if run.project == wish.project and run.state is RunState.FAILED]
    mine = [run for run in of if run.created_us >= wish.since_us and place_of(run.parameters) == wish.place]
    newest = max(mine, key=lambda run: run.created_us, default=None)
    return newest.failure.message if newest is not None and newest.failure is not None else ""


def place_of(parameters: Any) -> Place:
    given = parameters if isinstance(parameters, dict) else {}
    return Place(
        str(given.get("folder", "")),
        int(given.get("replica", 0)),
        int(given.get("gpus_milli", 0)),
        str(given.get("gpu_model", "")),
        int(given.get("tier", 0)),
    )


def _may_start(failed: Sequence[Run], wish: Wish, now_us: int) -> bool:
    since = [run for run in failed if run.created_us >= wish.since_us]
    if not since:
        return True
    pause_s = min(AGAIN_AFTER_S << (len(since) - 1), AGAIN_MAX_S)
    return now_us - (since[-1].ended_us or 0) >= pause_s * 1_000_000
