"""Runs carry labels; so do the entries of the log that speak of them, and what is gathered for one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("runs", sa.Column("labels", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("parts", sa.Column("labels", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("log", sa.Column("labels", sa.Text(), nullable=True))
