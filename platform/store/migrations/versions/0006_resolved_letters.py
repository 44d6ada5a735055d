"""Dead letters are replayed or discarded; an event counts how often it came again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("dead_letters", sa.Column("state", sa.Text(), nullable=False, server_default="open"))
    op.add_column("dead_letters", sa.Column("resolved_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("dead_letters", sa.Column("resolved_us", sa.BigInteger(), nullable=True))
    op.add_column("dead_letters", sa.Column("run_id", sa.Text(), nullable=False, server_default=""))
    op.create_index("dead_letters_by_event", "dead_letters", ["event_id"], unique=False)
    op.add_column("inbox", sa.Column("duplicates", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("inbox_by_id", "inbox", ["id"], unique=False)
