"""A lease that was released knows itself when its attempt ran, so that it can outlive the attempt's row."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

RAN = """
UPDATE leases SET
    started_us = (SELECT attempts.started_us FROM attempts WHERE attempts.fence = leases.fence),
    ended_us = (SELECT attempts.ended_us FROM attempts WHERE attempts.fence = leases.fence)
WHERE state <> 'HELD'
"""


def upgrade() -> None:
    op.add_column("leases", sa.Column("started_us", sa.BigInteger(), nullable=True))
    op.add_column("leases", sa.Column("ended_us", sa.BigInteger(), nullable=True))
    op.execute(RAN)
