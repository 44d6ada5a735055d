"""Attempts make way for other steps; steps say how long they are safe, and gangs how few ranks they go with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("steps", sa.Column("min_runtime_s", sa.Float(), nullable=True))
    op.add_column("steps", sa.Column("ranks_min", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("evictions", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("checkpoint_us", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("preemption", sa.Text(), nullable=True))
