"""Each owner forgets what came in long ago, and nothing of another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from scenes.store import T0

from headwater.actors.journal import Journal
from headwater.actors.oblivion import OUTGROWN, forget_once, let_go
from headwater.config import load
from headwater.core.inventory import QuotaTree
from headwater.core.records.inbox import InboxRow
from headwater.core.records.triggers import Gathering
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.schema import OWNERS
from headwater.store.writer import Writer

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="e1")
    engine = open_engine(url)
    yield engine
    engine.dispose()


def a_row(owner: str, number: int) -> InboxRow:
    return InboxRow(
        owner=owner, source="s", id=f"e{number}", sha256="x", type="t", project="eta", principal="p",
        received_us=T0 + number,
    )  # fmt: skip


def a_gathering(number: int, state: str) -> Gathering:
    return Gathering(
        id=f"{state}{number}", trigger="t", project="eta", key="", state=state, opened_us=T0, due_us=T0 + number
    )


@pytest.mark.parametrize("owner", OWNERS)
async def test_an_owner_forgets_its_own_inbox_by_age(engine: sa.Engine, owner: str) -> None:
    writer = Writer(engine, "conductor")
    writer.take_epoch()
    rows = {(one, "s", f"e{n}"): a_row(one, n) for one in OWNERS for n in range(4)}
    gatherings = {row.id: row for n in range(4) for row in (a_gathering(n, "OPEN"), a_gathering(n, "STARTED"))}
    writer.commit({"inbox": rows, "gatherings": gatherings})
    journal = Journal(Writer(engine, owner))
    await journal.take_epoch()
    assert await forget_once(journal, owner, T0 + 2) == 2
    assert await forget_once(journal, owner, T0 + 2) == 0
    with Reader(engine).picture() as picture:
        left = [row.owner for row in picture.rows("inbox")]
        closed = [row.id for row in picture.rows("gatherings") if row.state != "OPEN"]
        still_open = [row.id for row in picture.rows("gatherings") if row.state == "OPEN"]
    assert {one: left.count(one) for one in OWNERS} == {one: 2 if one == owner else 4 for one in OWNERS}
    assert len(closed) == (2 if owner == "conductor" else 4)
    assert len(still_open) == 4


@pytest.mark.parametrize(("keep_s", "stay"), [(0, [1, 2]), (5 * 3600, [2]), (20 * 3600, [1, 2])])
async def test_the_scheduler_lets_go_of_old_trees_where_they_are_not_kept_for_ever(
    engine: sa.Engine, keep_s: float, stay: list[int]
) -> None:
    assert OUTGROWN.keys() <= set(OWNERS)
    journal = Journal(Writer(engine, "scheduler"))
    await journal.take_epoch()
    trees = {n: QuotaTree(version=n, tree={}, principal="me", applied_us=T0 + n) for n in (1, 2)}
    await journal.commit({"quota_trees": trees}, [], [])
    settings = load(environment={}, flags={"store.trees_keep_s": keep_s}).store
    reader, now_us = Reader(engine), T0 + 10 * 3_600_000_000
    while await let_go(journal, reader, "scheduler", settings, now_us):
        pass
    with reader.picture() as picture:
        assert [tree.version for tree in picture.rows("quota_trees")] == stay
    assert await let_go(journal, reader, "table_writer", settings, now_us) == 0
