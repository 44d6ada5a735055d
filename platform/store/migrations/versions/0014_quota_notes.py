"""What the Scheduler remembers beside the tree."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "quota_notes",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("noted_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
