"""Runs are found by project or flow alone, by parameter, and by the words of their failure."""

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BATCH = 1_000


def upgrade() -> None:
    op.drop_index("runs_by_flow", "runs")
    op.create_index("runs_by_flow", "runs", ["flow", "id"], unique=False)
    op.create_index("runs_by_project", "runs", ["project", "id"], unique=False)
    op.create_table(
        "run_terms",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("term", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "term"),
    )
    _find_terms(op.get_bind())
    op.create_index("runs_by_term", "run_terms", ["term", "run_id"], unique=False)


def _find_terms(connection: sa.Connection) -> None:
    terms_of = context.config.attributes["terms_of_columns"]
    after, page = "", sa.text("SELECT id, parameters, failure FROM runs WHERE id > :after ORDER BY id LIMIT :batch")
    insert = sa.text("INSERT INTO run_terms (run_id, term) VALUES (:run_id, :term)")
    while rows := connection.execute(page, {"after": after, "batch": BATCH}).all():
        found = [
            {"run_id": row.id, "term": term} for row in rows for term in sorted(terms_of(row.parameters, row.failure))
        ]
        if found:
            connection.execute(insert, found)
        after = rows[-1].id
