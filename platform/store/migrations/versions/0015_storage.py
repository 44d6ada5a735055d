"""What each project stores: the artifacts that there are, and the tables and logs from here on."""

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BATCH = 1_000


def upgrade() -> None:
    op.create_table(
        "storage_use",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("artifacts_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tables_bytes", sa.BigInteger(), nullable=False),
        sa.Column("logs_bytes", sa.BigInteger(), nullable=False),
        sa.Column("level", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("project"),
    )
    op.create_table(
        "stored_artifacts",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("charged_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "digest"),
    )
    op.create_table(
        "table_shares",
        sa.Column("table", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table", "project"),
    )
    _charge_what_is_there(op.get_bind())
    op.create_index("stored_artifacts_by_digest", "stored_artifacts", ["digest"], unique=False)


def _charge_what_is_there(connection: sa.Connection) -> None:
    page = sa.text(
        "SELECT attempts.fence, attempts.artifact, attempts.result, attempts.ended_us, runs.project FROM attempts "
        "JOIN runs ON runs.id = attempts.run_id "
        "WHERE attempts.artifact IS NOT NULL AND attempts.fence > :after ORDER BY attempts.fence LIMIT :batch"
    )
    after, seen = -1, set[tuple[str, str]]()
    while rows := connection.execute(page, {"after": after, "batch": BATCH}).all():
        for row in rows:
            result = {} if row.result is None else msgspec.msgpack.decode(row.result)
            _charge(connection, seen, (row.project, row.artifact), result.get("size_bytes", 0), row.ended_us or 0)
        after = rows[-1].fence
    models = connection.execute(sa.text("SELECT project, digest, size_bytes, registered_us FROM model_versions")).all()
    for model in models:
        _charge(connection, seen, (model.project, model.digest), model.size_bytes, model.registered_us)
    connection.execute(
        sa.text(
            "INSERT INTO storage_use (project, artifacts_bytes, tables_bytes, logs_bytes, level) "
            "SELECT project, SUM(size_bytes), 0, 0, 'ok' FROM stored_artifacts GROUP BY project"
        )
    )


def _charge(
    connection: sa.Connection, seen: set[tuple[str, str]], key: tuple[str, str], size_bytes: int, charged_us: int
) -> None:
    if key in seen:
        return
    seen.add(key)
    insert = sa.text(
        "INSERT INTO stored_artifacts (project, digest, size_bytes, charged_us) "
        "VALUES (:project, :digest, :size_bytes, :charged_us)"
    )
    row = {"project": key[0], "digest": key[1], "size_bytes": size_bytes, "charged_us": charged_us}
    connection.execute(insert, row)
