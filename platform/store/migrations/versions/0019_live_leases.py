"""What a grant asks of a device costs the same however many leases there were."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

LIVE = sa.text("state <> 'FREE'")


def upgrade() -> None:
    op.create_index("live_leases_by_device", "leases", ["device"], sqlite_where=LIVE, postgresql_where=LIVE)
