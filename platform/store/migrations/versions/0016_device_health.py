"""Devices that are ill, and nodes that flap."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("nodes", sa.Column("reason", TEXT, nullable=False, server_default=""))
    op.add_column("nodes", sa.Column("leaves_us", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("devices", sa.Column("illness", TEXT, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("ecc_forgiven", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("devices", sa.Column("xids_forgiven", sa.BigInteger(), nullable=False, server_default="0"))
