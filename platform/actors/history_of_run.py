"""What the rows know of a run as its flow asks: the events since it began, what it and those before it have seen."""

from __future__ import annotations

import asyncio

from ..core.conductor.messages import Pinned
from ..core.conductor.runs.waiting import happening_of_row
from ..core.conductor.state import State
from ..core.conductor.triggers.following import happening_of
from ..core.trigger import Happening
from ..store.inbox import accepted_since, pin_before
from ..store.model_versions import version_meant
from ..store.reader import Reader


async def heard_since(reader: Reader, state: State, run_id: str, types: set[str]) -> tuple[tuple[Happening, ...], int]:
    """Events of these types since the run began, and the position of the log up to which they were looked for."""
    found = await asyncio.to_thread(accepted_since, reader, run_id, types)
    published = [happening_of(state, entry) for entry in found.entries]
    rows = [happening_of_row(row, state.mail.default_project) for row in found.rows]
    return (*rows, *filter(None, published)), found.position


async def pin_asked(reader: Reader, state: State, key: tuple[str, str, str]) -> Pinned:
    """The question what (run, kind, name) means: with what the run that this one resumes saw, and what an alias or a
    version of a model means now."""
    run_id, kind, name = key
    run, before, meant = state.runs.known(run_id), None, None
    if run is not None and state.pins.known(key) is None:
        if run.resumed_from is not None:
            before = await asyncio.to_thread(pin_before, reader, run.resumed_from, kind, name)
        if kind == "model" and "@" in name:
            meant = await asyncio.to_thread(version_meant, reader, name)
    return Pinned(run_id, kind, name, before, meant)
