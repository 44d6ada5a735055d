from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from headwater.errors import Conflict
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.schema import METADATA


def a_store(folder: Path) -> str:
    url = sqlite_url(folder / "store.db")
    create(url, store_epoch="e")
    return url


def test_the_migrations_lead_to_the_schema_of_the_code(tmp_path: Path) -> None:
    with open_engine(a_store(tmp_path)).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_store_that_a_newer_version_wrote_is_refused(tmp_path: Path) -> None:
    url = a_store(tmp_path)
    with open_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="9999"):
        create(url, store_epoch="e")
