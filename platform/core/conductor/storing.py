"""The storage quota: what projects store is charged here, and what finds no room is refused, by name.

a result, a model ─► room? ─► charged with the commit that accepts it, or refused: nothing refers to it then
table.committed, table.reset ─► what each project's part has changed by
a collection, a sweep of logs ─► what has gone, what there is
each time ─► another level? ─► quota.storage
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ...wire.calls import Payload
from ...wire.entries.quota import QuotaStorage
from ...wire.terms import Failure
from ...wire.types import Said
from ..records.steps import Step
from ..records.storage import StorageUse, StoredArtifact
from ..storage import REMEDY, level_of, limits_in, refusal, used_more
from ..turn import Turn
from . import messages as m
from .state import State

PRINCIPAL = "headwater"

replace = msgspec.structs.replace


def no_room(state: State, project: str, what: str, size_bytes: int) -> str:
    """Why the project may not store so much more; empty where it may."""
    why = refusal(_use(state, project), state.storage_limits.get(project), what, size_bytes)
    return f"{why}. {REMEDY}." if why else ""


def no_room_for(state: State, step: Step, payload: Payload | None) -> Failure | None:
    """Why the step's result is not accepted. One that lies in its row, or that the project has, needs no room."""
    if payload is None or payload.digest is None or (step.project, payload.digest) in state.stored:
        return None
    why = no_room(state, step.project, f"the result of step {step.name}", payload.size_bytes)
    return Failure(kind="refused", message=why) if why else None


def know(state: State, charged: Iterable[StoredArtifact]) -> None:
    """What the rows say of artifacts that are about to be named."""
    for row in charged:
        if (row.project, row.digest) not in state.stored:
            state.stored.load((row.project, row.digest), row)
            state.charged_lately.append((row.project, row.digest))


def charge(state: State, turn: Turn, project: str, digest: str, size_bytes: int) -> None:
    """Once for each project that has the artifact."""
    if (project, digest) in state.stored:
        return
    row = StoredArtifact(project=project, digest=digest, size_bytes=size_bytes, charged_us=turn.now_us)
    state.stored.put((project, digest), row)
    _keep(state, turn, used_more(_use(state, project), artifacts_bytes=size_bytes))


def artifacts_gone(state: State, turn: Turn, event: m.ArtifactsGone) -> None:
    for row in event.charged:
        know(state, (row,))
        state.stored.remove((row.project, row.digest))
        _keep(state, turn, used_more(_use(state, row.project), artifacts_bytes=-row.size_bytes))
    turn.answer = len(event.charged)


def logs_counted(state: State, turn: Turn, event: m.LogsCounted) -> None:
    for project in sorted({*state.storage, *event.size_bytes}):
        _keep(state, turn, replace(_use(state, project), logs_bytes=event.size_bytes.get(project, 0)))


def tables_changed(state: State, turn: Turn, stored: Mapping[str, int]) -> None:
    for project, delta in stored.items():
        _keep(state, turn, used_more(_use(state, project), tables_bytes=delta))


def limits_changed(state: State, turn: Turn, tree: object) -> None:
    """The limits of a tree that has come into force."""
    limits = limits_in(tree)
    for project in set(state.storage_limits) - limits.keys():
        state.storage_limits.remove(project)
    for project, limit_bytes in limits.items():
        state.storage_limits.put(project, limit_bytes)
    for project in sorted({*state.storage, *limits}):
        _keep(state, turn, _use(state, project))


def _use(state: State, project: str) -> StorageUse:
    return state.storage.get(project) or StorageUse(project=project)


def _keep(state: State, turn: Turn, use: StorageUse) -> None:
    """The use as it is now, and a word where its level is another."""
    limit_bytes = state.storage_limits.get(use.project)
    before, after = _use(state, use.project), replace(use, level=level_of(use, limit_bytes))
    if after == before:
        return
    state.storage.put(use.project, after)
    if after.level != before.level:
        turn.said.append(_said(after, limit_bytes, turn.now_us))


def _said(use: StorageUse, limit_bytes: int | None, now_us: int) -> Said:
    body = QuotaStorage(
        project=use.project,
        level=use.level,
        limit_bytes=limit_bytes,
        artifacts_bytes=use.artifacts_bytes,
        tables_bytes=use.tables_bytes,
        logs_bytes=use.logs_bytes,
    )
    return Said(body=body, subject=use.project, project=use.project, principal=PRINCIPAL, time_us=now_us)
