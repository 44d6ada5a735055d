"""Replicas that lease devices, and the tier of a step of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("deployments", sa.Column("gpus_milli", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("deployments", sa.Column("gpu_model", TEXT, nullable=False, server_default=""))
    op.add_column("deployments", sa.Column("tier", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("steps", sa.Column("tier", sa.BigInteger(), nullable=False, server_default="0"))
