"""An attempt of a gang has a member for each rank."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("members", sa.Text(), nullable=False, server_default="[]"))
