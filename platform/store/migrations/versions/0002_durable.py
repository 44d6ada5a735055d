"""Runs inside runs, parked runs, the order of outcomes, attention, checkpoints, and the cache of steps."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("parent_ordinal", sa.BigInteger(), nullable=True))
        runs.add_column(sa.Column("resumed_from", sa.Text(), nullable=True))
        runs.add_column(sa.Column("parked", sa.Text(), nullable=False, server_default="[]"))
    with op.batch_alter_table("commands") as commands:
        commands.add_column(sa.Column("answered", sa.BigInteger(), nullable=False, server_default="0"))
    with op.batch_alter_table("steps") as steps:
        steps.add_column(sa.Column("retry_on", sa.Text(), nullable=False, server_default="[]"))
        steps.add_column(sa.Column("code_digest", sa.Text(), nullable=False, server_default=""))
        steps.add_column(sa.Column("cache_key", sa.Text(), nullable=False, server_default=""))
        steps.add_column(sa.Column("secrets", sa.Text(), nullable=False, server_default="[]"))
        steps.add_column(sa.Column("env", sa.Text(), nullable=False, server_default="[]"))
        steps.add_column(sa.Column("checkpoint", sa.LargeBinary(), nullable=True))
        steps.add_column(sa.Column("attention", sa.Text(), nullable=True))
    op.create_table(
        "step_cache",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
