"""Runs are found by the run that called them, and say which steps they do again; a step's cache key follows from
its inputs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("runs", sa.Column("redo", sa.Text(), nullable=False, server_default="[]"))
    op.create_index(
        "runs_by_parent",
        "runs",
        ["parent_id"],
        unique=False,
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.drop_column("steps", "cache_key")
