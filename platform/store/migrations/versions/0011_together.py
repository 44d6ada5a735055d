"""Attempts that share a place, and steps that go alone because they died together."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("alone", sa.Text(), nullable=False, server_default="false"))
