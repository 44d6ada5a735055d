from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from scenes.store import T0, run_id

from headwater.errors import Conflict
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.migrate import FOLDER, HEAD, upgrade
from headwater.store.queries import Queries
from headwater.store.reader import Reader
from headwater.store.run_search import RunFilter
from headwater.store.schema import METADATA


def test_the_migrations_lead_to_the_schema_of_the_code(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


RUN_OF_0001 = {
    "id": run_id(1), "project": "eta", "flow": "train", "code_version": "c1", "state": "FAILED", "seq": 3,
    "trigger": "", "event_source": "", "event_id": "", "idempotency_key": "k", "principal": "me",
    "parameters": '{"day":"monday","n":3}',
    "parent_id": None, "root_id": run_id(1), "depth": 0, "host": None, "host_fence": 0, "crashes": 0,
    "cancel_reason": "",
    "result": None, "failure": '{"kind":"exception","message":"No column \'speed\'.","cause_type":"KeyError"}',
    "created_us": T0 + 1, "started_us": None, "ended_us": None,
}  # fmt: skip


VERSIONS = sorted(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def test_versions_follow_one_another_to_the_newest() -> None:
    """Two branches that meet may have taken the same number: one of their changes would never be made."""
    assert [f"{number:04}" for number in range(1, int(HEAD) + 1)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS[1:-1])
def test_a_store_of_any_version_is_carried_forward_with_its_rows(version: str, tmp_path: Path) -> None:
    carry_forward(sqlite_url(tmp_path / "store.db"), version)


def test_a_store_of_the_first_version_is_carried_forward_with_its_rows(empty_url: str) -> None:
    carry_forward(empty_url, "0001")


def carry_forward(empty_url: str, version: str) -> None:
    engine = open_engine(empty_url)
    names = ", ".join(RUN_OF_0001)
    marks = ", ".join(f":{name}" for name in RUN_OF_0001)
    with engine.begin() as connection:
        upgrade(connection, to=version)
        connection.execute(sa.text(f"INSERT INTO runs ({names}) VALUES ({marks})"), RUN_OF_0001)
    create(empty_url, store_epoch="one")
    with Reader(engine).picture() as picture:
        (run,) = picture.rows("runs")
    assert (run.id, run.state, run.parameters) == (run_id(1), "FAILED", {"day": "monday", "n": 3})
    if version < "0004":  # later ones have written the words by which a run is found themselves
        found = Queries(engine).runs(RunFilter(parameters=("n=3", "day=monday"), error="keyerror speed"))
        assert [one.id for one in found.items] == [run_id(1)]
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_a_store_that_a_newer_version_wrote_is_refused(url: str, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="9999"):
        create(url, store_epoch="e")
