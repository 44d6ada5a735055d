"""The Conductor's picture of the store: what is alive, what flows, tables and models there are, and its bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
import sqlalchemy as sa

from ..config import Runs
from ..core.conductor.machine import Conductor, Rows
from ..core.conductor.state import OWNER, Limits, State
from ..core.conductor.triggers.following import learn_flow, learn_table
from ..core.conductor.triggers.limiting import hold_slots
from ..core.inbox import IN_MEMORY_MAX, Inbox
from ..core.inventory import CodeVersion, FlowRow, ModelVersion, TableHead
from ..core.records.attempts import AttemptState
from ..core.records.runs import RunState
from ..core.records.steps import StepState
from ..core.storage import limits_in
from ..store.reader import Picture, Reader
from ..store.schema import ATTEMPTS, COMMANDS, GATHERINGS, INBOX, LEASES, OFFSETS, PINS, QUOTA_TREES, RUNS, STEPS
from ..wire.calls import PinnedModel
from ..wire.manifest import FlowSpec, Manifest
from .courtesy import without_collecting

_LIVE_ATTEMPTS = (AttemptState.LEASED, AttemptState.RUNNING)
AT_ONCE = 500  # in one question
_ENDED_RUNS = tuple(state for state in RunState if state.ended)
_PARKED = (RUNS.c.state == RunState.RUNNING) & (RUNS.c.parked != "[]")
_AT_WORK = sa.select(ATTEMPTS.c.run_id).where(ATTEMPTS.c.state.in_(_LIVE_ATTEMPTS))


def load_state(machine: Conductor, picture: Picture) -> None:
    """The machine as the rows have it. Parked runs come by pages, and those that only wait leave memory with their
    page: a hundred thousand of them are never here together."""
    with without_collecting():
        rows = load_rows(picture)
        machine.load(rows)
        load_catalog(machine.state, picture)
        limited = [run for run in rows.runs if run.slot]
        for page in _parked(picture):
            machine.load_waiting(page)
            limited += [msgspec.structs.replace(run, parameters=None, labels={}) for run in page.runs if run.slot]
        hold_slots(machine.state, limited)


def load_rows(picture: Picture) -> Rows:
    """Runs that have not ended with all that belongs to them, but for parked ones; and attempts that live, or may."""
    live = (RUNS.c.state.not_in(_ENDED_RUNS) & ~_PARKED) | RUNS.c.id.in_(_AT_WORK)
    ids = RUNS.select().with_only_columns(RUNS.c.id).where(live)
    doubtful = STEPS.select().with_only_columns(STEPS.c.id).where(STEPS.c.state == StepState.NEEDS_ATTENTION)
    return Rows(
        runs=picture.rows("runs", live),
        commands=picture.rows("commands", COMMANDS.c.run_id.in_(ids)),
        steps=picture.rows("steps", STEPS.c.run_id.in_(ids)),
        attempts=picture.rows("attempts", ATTEMPTS.c.state.in_(_LIVE_ATTEMPTS) | ATTEMPTS.c.step_id.in_(doubtful)),
        leases=picture.rows("leases", LEASES.c.state == "HELD"),
        timers=picture.rows("timers"),
        pins=picture.rows("pins", PINS.c.run_id.in_(ids)),
        trigger_states=picture.rows("trigger_states"),
        gatherings=picture.rows("gatherings", GATHERINGS.c.state == "OPEN"),
        parts=picture.rows("parts"),
        offsets=picture.rows("offsets", OFFSETS.c.owner == OWNER),
    )


def _parked(picture: Picture) -> Iterator[Rows]:
    """Parked runs of which nothing is at work, page by page."""
    after = ""
    while True:
        parked = (_PARKED, RUNS.c.id > after, RUNS.c.id.not_in(_AT_WORK))
        ids = picture.scalars(sa.select(RUNS.c.id).where(*parked).order_by(RUNS.c.id).limit(AT_ONCE))
        if not ids:
            return
        yield _rows_in(picture, ids)
        after = ids[-1]


def rows_of(reader: Reader, run_ids: Collection[str]) -> Rows:
    """These runs with all that belongs to them but what lives in memory anyway."""
    ids, found = sorted(run_ids), Rows(runs=[], commands=[], steps=[], pins=[])
    for start in range(0, len(ids), AT_ONCE):
        with reader.picture() as picture:
            some = _rows_in(picture, ids[start : start + AT_ONCE])
        found.runs.extend(some.runs)
        found.commands.extend(some.commands)
        found.steps.extend(some.steps)
        found.pins.extend(some.pins)
    return found


def _rows_in(picture: Picture, run_ids: Collection[str]) -> Rows:
    return Rows(
        runs=picture.rows("runs", RUNS.c.id.in_(run_ids)),
        commands=picture.rows("commands", COMMANDS.c.run_id.in_(run_ids)),
        steps=picture.rows("steps", STEPS.c.run_id.in_(run_ids)),
        pins=picture.rows("pins", PINS.c.run_id.in_(run_ids)),
    )


def load_inbox(mail: Inbox, picture: Picture) -> None:
    """What was taken in before, where that is little: then a new event needs no look at the rows."""
    mine = INBOX.c.owner == mail.owner
    if (picture.scalar(sa.select(sa.func.count()).select_from(INBOX).where(mine)) or 0) < IN_MEMORY_MAX:
        mail.load_rows(picture.rows("inbox", mine))


def load_catalog(state: State, picture: Picture) -> None:
    """Flows with their newest versions, the functions of every version, table heads and model versions."""
    bundles = _load_versions(state, picture)
    flow: FlowRow
    for flow in picture.rows("flows"):
        learn_flow(state, {"spec": flow.manifest, "bundle": bundles[flow.code_version]}, flow.code_version)
    for use in picture.rows("storage_use"):
        state.storage.load(use.project, use)
    tree = picture.scalar(sa.select(QUOTA_TREES.c.tree).order_by(QUOTA_TREES.c.version.desc()).limit(1))
    for project, limit_bytes in limits_in(msgspec.json.decode(tree) if tree else None).items():
        state.storage_limits.load(project, limit_bytes)
    head: TableHead
    for head in picture.rows("table_heads"):
        learn_table(state, head.name, head.metadata_location, head.snapshot_id)
    version: ModelVersion
    for version in picture.rows("model_versions"):  # by name and version: the newest is learned last
        state.models.load(
            version.name,
            PinnedModel(
                name=version.name,
                version=version.version,
                digest=version.digest,
                runtime=version.runtime,
                signature=version.signature,
                metrics=version.metrics,
            ),
        )
    state.book.settle()


def _load_versions(state: State, picture: Picture) -> dict[str, str]:
    bundles: dict[str, str] = {}
    version: CodeVersion
    for version in picture.rows("code_versions"):
        bundles[version.version] = version.bundle
        state.bundles.load(version.version, version.bundle)
        flow: FlowSpec
        for flow in msgspec.convert(version.manifest, Manifest).flows:
            state.functions.load((version.version, flow.project, flow.name), flow.function)
    return bundles


def limits_of(runs: Runs) -> Limits:
    """The bounds of the machine, as they are configured."""
    return Limits(
        runs_a_host=runs.host_runs,
        losses_max=runs.lost_limit,
        evictions_max=runs.preempted_limit,
        crashes_max=runs.crash_limit,
        depth_max=runs.depth_limit,
        sub_runs_max=runs.sub_run_limit,
        hosts_max=runs.hosts,
        host_idle_us=int(runs.host_idle_s * 1_000_000),
    )
