"""Attempts are found by the artifact that they made."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BATCH = 1_000


class _Result(msgspec.Struct):
    digest: str | None = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("artifact", sa.Text(), nullable=True))
    op.create_index(
        "attempts_by_artifact",
        "attempts",
        ["artifact", "fence"],
        sqlite_where=sa.text("artifact IS NOT NULL"),
        postgresql_where=sa.text("artifact IS NOT NULL"),
    )
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """The digests of the results that are there already."""
    select = sa.text(
        "SELECT fence, result FROM attempts WHERE result IS NOT NULL AND fence > :after ORDER BY fence LIMIT :n"
    )
    update = sa.text("UPDATE attempts SET artifact = :digest WHERE fence = :fence")
    after = -1
    while rows := connection.execute(select, {"after": after, "n": BATCH}).all():
        after = rows[-1].fence
        for row in rows:
            digest = msgspec.msgpack.decode(row.result, type=_Result).digest
            if digest is not None:
                connection.execute(update, {"digest": digest, "fence": row.fence})
