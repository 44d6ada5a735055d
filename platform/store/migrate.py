"""The schema, carried forward: every released version can be opened by this one.

`upgrade` looks at the version first, so that a store that is up to date costs one query and no import.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from ..errors import Conflict
from .run_terms import terms_of_columns
from .schema import METADATA

HEAD: Final = "0019"
FOLDER: Final = Path(__file__).parent / "migrations"


def upgrade(connection: sa.Connection, *, to: str = HEAD) -> None:
    """Brings the schema to HEAD, or `to` an older version.

    Raises Conflict for a store that a newer version has written.
    """
    version = current(connection)
    if version == to:
        return
    if version is not None and version > HEAD:
        what = f"The store has schema {version}, this version knows {HEAD}"
        raise Conflict(what, remedy="Install the version of Headwater that wrote it, or a newer one.")
    from alembic import command

    command.upgrade(_config(connection), to)


def current(connection: sa.Connection) -> str | None:
    """The schema's version; None where there is none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return version


def _config(connection: sa.Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes.update(connection=connection, metadata=METADATA, terms_of_columns=terms_of_columns)
    return config
