"""What was done before a command was issued: by the runs that its run resumes, and by any run, where that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from ..artifacts.files import Files
from ..core.collection import named_in
from ..core.conductor.runs.caching import cache_key, may_be_cached
from ..core.conductor.runs.nesting import key_of_child
from ..core.records.runs import CommandRow, Run
from ..core.records.steps import CacheEntry
from ..store.inbox import cached_steps, commands_of, runs_of_keys
from ..store.reader import Reader
from ..wire import calls
from ..wire.calls import Command

Given = Callable[[int], calls.Payload | None]


class Earlier(msgspec.Struct, frozen=True):
    """`children` are the runs inside the run that is resumed, by (its id, the ordinal that called them)."""

    rows: tuple[CommandRow, ...] = ()
    children: dict[tuple[str, int], str] = {}
    cached: dict[str, CacheEntry] = {}


def done_earlier(reader: Reader, files: Files, run: Run, commands: Sequence[Command], given: Given) -> Earlier:
    """Blocking. `given` tells what a command of the run has brought by now.

    An artifact that is given again is claimed, so that no collection takes it from here on; an outcome whose artifact
    has gone is no outcome any more.
    """
    rows, children = _of_runs_before(reader, run, commands) if run.resumed_from else ([], {})
    whole = tuple(row for row in rows if _is_whole(files, row))
    return Earlier(whole, children, _of_any_run(reader, files, run, commands, given))


def _of_runs_before(
    reader: Reader, run: Run, commands: Sequence[Command]
) -> tuple[list[CommandRow], dict[tuple[str, int], str]]:
    rows = commands_of(reader, run.resumed_from or "", [command.key for command in commands])
    called = {key_of_child(row.run_id, row.ordinal): (row.run_id, row.ordinal) for row in rows if row.kind == "run"}
    return rows, {called[key]: run_id for key, run_id in runs_of_keys(reader, called).items()}


def _of_any_run(
    reader: Reader, files: Files, run: Run, commands: Sequence[Command], given: Given
) -> dict[str, CacheEntry]:
    """Kept results by their cache key. What one command finds may feed the next: each round looks up what can be."""
    brought: dict[int, calls.Payload] = {}
    found: dict[str, CacheEntry] = {}
    ahead = [command for command in commands if may_be_cached(command)]
    while keyed := {one.ordinal: key for one in ahead if (key := cache_key(run.project, one, _either(brought, given)))}:
        found |= kept_results(reader, files, set(keyed.values()))
        brought |= {ordinal: found[key].payload for ordinal, key in keyed.items() if key in found}
        ahead = [one for one in ahead if one.ordinal not in keyed]
    return found


def kept_results(reader: Reader, files: Files, keys: Iterable[str]) -> dict[str, CacheEntry]:
    """The kept results of steps by their cache key, as far as they are whole. Blocking."""
    return {key: entry for key, entry in cached_steps(reader, keys).items() if _is_there(files, entry.payload)}


def _either(brought: dict[int, calls.Payload], given: Given) -> Given:
    return lambda ordinal: brought.get(ordinal) or given(ordinal)


def _is_whole(files: Files, row: CommandRow) -> bool:
    payload = row.outcome.payload if row.outcome else None
    return payload is None or _is_there(files, payload)


def _is_there(files: Files, payload: calls.Payload) -> bool:
    for named in named_in(payload.inline or b""):
        files.claim(named)
    return payload.digest is None or files.claim(payload.digest)
