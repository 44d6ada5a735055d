"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("step_id", TEXT, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("devices", TEXT, nullable=False),
        sa.Column("demand", TEXT, nullable=False),
        sa.Column("worker", TEXT, nullable=True),
        sa.Column("secret", TEXT, nullable=False),
        sa.Column("leased_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("failure", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("fence"),
    )
    op.create_index("attempts_by_run", "attempts", ["run_id"], unique=False)
    op.create_index("attempts_by_state", "attempts", ["state"], unique=False)
    op.create_index("attempts_by_step", "attempts", ["step_id"], unique=False)
    op.create_table(
        "code_versions",
        sa.Column("version", TEXT, nullable=False),
        sa.Column("bundle", TEXT, nullable=False),
        sa.Column("manifest", TEXT, nullable=True),
        sa.Column("provenance", TEXT, nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("deployed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "commands",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=True),
        sa.Column("command", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=True),
        sa.Column("issued_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "ordinal"),
    )
    op.create_table(
        "commit_keys",
        sa.Column("table", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("rows_added", sa.BigInteger(), nullable=False),
        sa.Column("committed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table", "key"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("event_source", TEXT, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("event_type", TEXT, nullable=False),
        sa.Column("trigger", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("headers", TEXT, nullable=True),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("dead_letters_by_time", "dead_letters", ["received_us"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("replicas_min", sa.BigInteger(), nullable=False),
        sa.Column("replicas_max", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("ready_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "devices",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "flows",
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("manifest", TEXT, nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("deployed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name"),
    )
    op.create_table(
        "inbox",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("data", TEXT, nullable=True),
        sa.Column("outcome", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("owner", "source", "id"),
    )
    op.create_index("inbox_by_time", "inbox", ["received_us"], unique=False)
    op.create_index("inbox_by_type", "inbox", ["type", "received_us"], unique=False)
    op.create_table(
        "leases",
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("device", TEXT, nullable=False),
        sa.Column("node", TEXT, nullable=False),
        sa.Column("milli", sa.BigInteger(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("step_id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("released_us", sa.BigInteger(), nullable=True),
        sa.Column("freed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("fence", "device"),
    )
    op.create_index("leases_by_state", "leases", ["state"], unique=False)
    op.create_index(
        "one_live_lease_a_whole_device",
        "leases",
        ["device"],
        unique=True,
        sqlite_where=sa.text("state <> 'FREE' AND milli = 1000"),
        postgresql_where=sa.text("state <> 'FREE' AND milli = 1000"),
    )
    op.create_table(
        "log",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_id", TEXT, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("causation", TEXT, nullable=True),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("log_by_causation", "log", ["causation"], unique=False)
    op.create_index("log_by_project", "log", ["project", "position"], unique=False)
    op.create_index("log_by_run", "log", ["run_id", "seq"], unique=True)
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("store_epoch", TEXT, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("clean", sa.Integer(), nullable=False),
        sa.Column("conductor_epoch", sa.BigInteger(), nullable=False),
        sa.Column("scheduler_epoch", sa.BigInteger(), nullable=False),
        sa.Column("gpu_pool_epoch", sa.BigInteger(), nullable=False),
        sa.Column("registry_epoch", sa.BigInteger(), nullable=False),
        sa.Column("table_writer_epoch", sa.BigInteger(), nullable=False),
        sa.Column("conductor_commits", sa.BigInteger(), nullable=False),
        sa.Column("scheduler_commits", sa.BigInteger(), nullable=False),
        sa.Column("gpu_pool_commits", sa.BigInteger(), nullable=False),
        sa.Column("registry_commits", sa.BigInteger(), nullable=False),
        sa.Column("table_writer_commits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "model_versions",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("runtime", TEXT, nullable=False),
        sa.Column("signature", TEXT, nullable=True),
        sa.Column("metrics", TEXT, nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("tables", TEXT, nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("registered_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
        sa.UniqueConstraint("run_id", "ordinal", name="version_once"),
    )
    op.create_table(
        "nodes",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("ray_node", TEXT, nullable=False),
        sa.Column("cpus_milli", sa.BigInteger(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("labels", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("joined_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "offsets",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("partition", sa.BigInteger(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.Column("topic_id", TEXT, nullable=False),
        sa.Column("halted", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("owner", "topic", "partition"),
    )
    op.create_table(
        "pins",
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=True),
        sa.Column("pinned_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind", "name"),
    )
    op.create_table(
        "quota_trees",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("tree", TEXT, nullable=True),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("applied_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
    op.create_table(
        "runs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("flow", TEXT, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("trigger", TEXT, nullable=False),
        sa.Column("event_source", TEXT, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=False),
        sa.Column("principal", TEXT, nullable=False),
        sa.Column("parameters", TEXT, nullable=True),
        sa.Column("parent_id", TEXT, nullable=True),
        sa.Column("root_id", TEXT, nullable=False),
        sa.Column("depth", sa.BigInteger(), nullable=False),
        sa.Column("host", TEXT, nullable=True),
        sa.Column("host_fence", sa.BigInteger(), nullable=False),
        sa.Column("crashes", sa.BigInteger(), nullable=False),
        sa.Column("cancel_reason", TEXT, nullable=False),
        sa.Column("result", TEXT, nullable=True),
        sa.Column("failure", TEXT, nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key", name="run_once"),
    )
    op.create_index("runs_by_flow", "runs", ["project", "flow", "id"], unique=False)
    op.create_index("runs_by_state", "runs", ["state", "id"], unique=False)
    op.create_table(
        "steps",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("function", TEXT, nullable=False),
        sa.Column("code_version", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("demand", TEXT, nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("retries", sa.BigInteger(), nullable=False),
        sa.Column("backoff_s", sa.Float(), nullable=False),
        sa.Column("timeout_s", sa.Float(), nullable=True),
        sa.Column("max_runtime_s", sa.Float(), nullable=True),
        sa.Column("effect", TEXT, nullable=False),
        sa.Column("arguments", sa.LargeBinary(), nullable=False),
        sa.Column("needs", TEXT, nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.BigInteger(), nullable=False),
        sa.Column("held_code", TEXT, nullable=False),
        sa.Column("held_reason", TEXT, nullable=False),
        sa.Column("failure", TEXT, nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("waiting_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("steps_by_run", "steps", ["run_id", "ordinal"], unique=False)
    op.create_index("steps_by_state", "steps", ["state"], unique=False)
    op.create_table(
        "table_heads",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=True),
        sa.Column("metadata_location", TEXT, nullable=False),
        sa.Column("rows_total", sa.BigInteger(), nullable=False),
        sa.Column("columns", TEXT, nullable=True),
        sa.Column("announced_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "timers",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("timers_by_due", "timers", ["due_us"], unique=False)
