"""Model versions: asked for by an entry of the log, answered by an entry with that request as its cause."""

from __future__ import annotations

import re
from typing import Final

from ...wire.entries.models import ModelRefused, ModelRegistered, ModelRequested
from ...wire.types import Entry
from ..inventory import ModelVersion
from ..turn import Turn
from .deployments import replicas_of, request
from .state import Speaker, State, say

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def requested(state: State, turn: Turn, entry: Entry, asked: ModelRequested) -> None:
    """The next version of the name, once for each (run, ordinal); with `serving`, a deployment of it too."""
    run_id = entry.run_id or entry.subject
    if (run_id, asked.ordinal) in state.made:
        return None
    newest = state.newest.get(asked.name)
    if not _NAME.fullmatch(asked.name):
        reason = f"{asked.name!r} cannot be a model's name. Use letters, digits, '-', '_' and '.'"
        return refuse_model(turn, entry, asked, reason)
    if newest is not None and newest.project != entry.project:
        reason = (
            f"Model {asked.name!r} belongs to project {newest.project!r}, not to {entry.project!r}. Choose another name"
        )
        return refuse_model(turn, entry, asked, reason)
    replicas = replicas_of(asked.serving, state.replicas) if asked.serving is not None else None
    if isinstance(replicas, str):
        return refuse_model(turn, entry, asked, replicas)
    row = _row(entry, asked, newest.version + 1 if newest else 1, turn.now_us)
    state.put_version(row)
    say(turn, _registered(row), row.name, _speaker(entry, asked))
    if replicas is not None:
        request(state, turn, row, replicas, entry.principal)
    return None


def refuse_model(turn: Turn, entry: Entry, asked: ModelRequested, reason: str) -> None:
    run_id = entry.run_id or entry.subject
    body = ModelRefused(name=asked.name, run_id=run_id, ordinal=asked.ordinal, reason=reason)
    say(turn, body, asked.name, _speaker(entry, asked))


def _speaker(entry: Entry, asked: ModelRequested) -> Speaker:
    return Speaker(entry.project, entry.principal, f"{entry.run_id or entry.subject}/{asked.ordinal}")


def _row(entry: Entry, asked: ModelRequested, version: int, now_us: int) -> ModelVersion:
    return ModelVersion(
        name=asked.name,
        version=version,
        project=entry.project,
        digest=asked.digest,
        runtime=asked.runtime,
        signature=asked.signature,
        metrics=asked.metrics,
        size_bytes=asked.size_bytes,
        run_id=entry.run_id or entry.subject,
        ordinal=asked.ordinal,
        code_version=asked.code_version,
        tables=asked.tables,
        principal=entry.principal,
        registered_us=now_us,
    )


def _registered(row: ModelVersion) -> ModelRegistered:
    return ModelRegistered(
        name=row.name,
        version=row.version,
        digest=row.digest,
        run_id=row.run_id,
        ordinal=row.ordinal,
        runtime=row.runtime,
        signature=row.signature,
        metrics=row.metrics,
    )
