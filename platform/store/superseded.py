"""What was given back, or replaced by something newer, long ago, and what of it may leave.

    free leases      counted by usage for as long as they are there
    code versions    stay while a flow runs them, and while a run or a model that is there was made by them
    quota trees      but for the newest, which is the tree

Each belongs to one owner, who lets go of it in a transaction of its own. What might go is looked for beforehand, so
that nobody waits for that, and is asked again in the transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from ..core.records.leases import LeaseState
from .aged import in_parts
from .reader import Reader
from .schema import CODE_VERSIONS, FLOWS, LEASES, MODEL_VERSIONS, QUOTA_TREES, RUNS

AT_ONCE: Final = 5_000
Forget = Callable[[sa.Connection], int]  # how many have left


class _Declared(msgspec.Struct, frozen=True):
    project: str
    name: str


class _Flows(msgspec.Struct, frozen=True):
    """Of a manifest: the flows that it declares."""

    flows: tuple[_Declared, ...] = ()


def free_leases(reader: Reader, before_us: int) -> Forget:
    """Of the leases that became free before a time, the first few thousand."""
    free = (LEASES.c.state == LeaseState.FREE, LEASES.c.freed_us < before_us)
    rows = reader.select(sa.select(LEASES.c.fence).where(*free).order_by(LEASES.c.fence).limit(AT_ONCE))
    fences = sorted({row.fence for row in rows})
    return lambda connection: _delete(connection, LEASES.c.fence, fences, *free)


def old_trees(_: Reader, before_us: int) -> Forget:
    """The quota trees that were applied before a time, but for the newest."""
    newest = sa.select(sa.func.max(QUOTA_TREES.c.version)).scalar_subquery()
    old = sa.delete(QUOTA_TREES).where(QUOTA_TREES.c.applied_us < before_us, QUOTA_TREES.c.version < newest)
    return lambda connection: connection.execute(old).rowcount


def old_code(reader: Reader, before_us: int) -> Forget:
    """The code versions all of whose flows have run a newer one since before a time, and that nothing needs."""
    columns = (CODE_VERSIONS.c.version, CODE_VERSIONS.c.manifest, CODE_VERSIONS.c.deployed_us)
    deployed = reader.select(sa.select(*columns).order_by(CODE_VERSIONS.c.deployed_us, CODE_VERSIONS.c.version))
    replaced = sorted(version for version, since_us in _replaced(deployed).items() if since_us < before_us)
    unneeded = [~sa.exists().where(needs == CODE_VERSIONS.c.version) for needs in _NEEDED_BY]
    return lambda connection: _delete(connection, CODE_VERSIONS.c.version, replaced, *unneeded)


_NEEDED_BY: Final = (FLOWS.c.code_version, RUNS.c.code_version, MODEL_VERSIONS.c.code_version)


def _replaced(deployed: Iterable[sa.Row[Any]]) -> dict[str, int]:
    """Since when each version is the newest of none of its flows; those that are the newest of one are left out."""
    history: dict[_Declared, list[tuple[str, int]]] = defaultdict(list)
    for row in deployed:
        for flow in msgspec.json.decode(row.manifest, type=_Flows).flows:
            history[flow].append((row.version, row.deployed_us))
    newest = {versions[-1][0] for versions in history.values()}
    since: dict[str, int] = {}
    for versions in history.values():
        for (version, _), (_, next_us) in pairwise(versions):
            since[version] = max(since.get(version, 0), next_us)
    return {version: since_us for version, since_us in since.items() if version not in newest}


def _delete(connection: sa.Connection, key: sa.Column[Any], values: list[Any], *where: sa.ColumnElement[bool]) -> int:
    some = (sa.delete(key.table).where(key.in_(part), *where) for part in in_parts(values))
    return sum(connection.execute(each).rowcount for each in some)
