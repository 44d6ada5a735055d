"""The one table of listings: the words of the command, the address that answers, the columns shown, the filters.

Standard library only: `headwater runs --json` is answered from this table without loading the rest.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Column(NamedTuple):
    """`field` is the name in the answer; `kind` says how it is shown (`forms.FORMS`). On a narrow terminal the
    columns of the highest rank are left out first; rank 0 stays."""

    heading: str
    field: str
    kind: str = "text"
    rank: int = 0


class Listing(NamedTuple):
    """`empty` is what is said where there is nothing to list."""

    path: str
    help: str
    empty: str
    columns: tuple[Column, ...]
    filters: tuple[str, ...] = ()
    is_paged: bool = True


LISTINGS: Final[dict[tuple[str, ...], Listing]] = {
    ("runs",): Listing(
        "/v1/runs",
        "List runs, newest first.",
        "There are no such runs. `headwater publish TYPE` or `headwater run start FLOW` starts one.",
        (
            Column("run", "id", "id"),
            Column("project", "project", rank=2),
            Column("flow", "flow"),
            Column("state", "state", "state"),
            Column("trigger", "trigger", "trigger", rank=3),
            Column("created", "created_us", "time", rank=1),
            Column("took", "", "took"),
        ),
        ("project", "flow", "state", "since", "parameter", "label", "error"),
    ),
    ("flows",): Listing(
        "/v1/flows",
        "List the deployed flows, with what triggers them.",
        "There are no flows. `headwater deploy FOLDER` brings some.",
        (
            Column("project", "project"),
            Column("flow", "name", "id"),
            Column("triggers", "triggers", "names"),
            Column("code", "code_version", "digest", rank=3),
            Column("deployed", "deployed_us", "time", rank=2),
            Column("about", "doc", rank=1),
        ),
    ),
    ("models",): Listing(
        "/v1/models",
        "List every version of every model.",
        "There are no models. A flow registers one with `Model.register`.",
        (
            Column("model", "name", "id"),
            Column("version", "version", "number"),
            Column("aliases", "aliases", "names", rank=1),
            Column("project", "project", rank=3),
            Column("metrics", "metrics", "metrics"),
            Column("size", "size_bytes", "bytes", rank=4),
            Column("registered", "registered_us", "time", rank=2),
            Column("run", "run_id", "id", rank=1),
        ),
    ),
    ("deployments",): Listing(
        "/v1/deployments",
        "List what is served, and how it stands.",
        "There are no deployments. A model that is registered is served.",
        (
            Column("model", "name", "id"),
            Column("version", "version", "number"),
            Column("state", "state", "state"),
            Column("address", "url"),
            Column("ready", "ready_us", "time", rank=1),
            Column("reason", "reason"),
        ),
    ),
    ("tables",): Listing(
        "/v1/tables",
        "List the tables with their newest snapshot.",
        "There are no tables. A flow, or `Client().tables[NAME].append(rows)`, makes one.",
        (
            Column("table", "name", "id"),
            Column("rows", "rows_total", "number"),
            Column("columns", "columns", "counted"),
            Column("snapshot", "snapshot_id", "id", rank=2),
            Column("announced", "announced_us", "time", rank=1),
        ),
    ),
    ("artifacts", "list"): Listing(
        "/v1/artifacts",
        "List the results of steps that are too large for a row, newest first.",
        "There are no artifacts. Small results are shown by `headwater run show`.",
        (
            Column("artifact", "digest", "digest"),
            Column("step", "name", "id"),
            Column("kind", "about", "kind"),
            Column("size", "size_bytes", "bytes"),
            Column("codec", "codec", rank=2),
            Column("project", "project", rank=3),
            Column("run", "run_id", "id", rank=1),
            Column("made", "created_us", "time", rank=1),
        ),
        ("run", "project", "step"),
    ),
    ("triggers", "list"): Listing(
        "/v1/triggers",
        "List what starts flows: active or paused, when a cron comes next, what waits for more events.",
        "There are no triggers. A flow with `on=` declares them.",
        (
            Column("trigger", "id", "id"),
            Column("state", "state", "state"),
            Column("next", "next_us", "time", rank=1),
            Column("gathering", "gathering", "number", rank=2),
            Column("filter", "where", rank=3),
            Column("key", "key", rank=3),
        ),
        is_paged=False,
    ),
    ("dlq", "list"): Listing(
        "/v1/dlq",
        "List the dead letters, newest first: what came and could not be taken in.",
        "There are no dead letters.",
        (
            Column("id", "id", "id"),
            Column("code", "code", "id"),
            Column("reason", "reason", "reason"),
            Column("trigger", "trigger", rank=2),
            Column("event", "event_type", rank=1),
            Column("topic", "topic", rank=2),
            Column("offset", "offset", "number", rank=3),
            Column("received", "received_us", "time", rank=1),
        ),
        ("state", "code", "trigger"),
    ),
    ("events", "gaps"): Listing(
        "/v1/events/gaps",
        "List the partitions that stand still because records are gone, and where.",
        "No partition stands still.",
        (
            Column("topic", "topic", "id"),
            Column("partition", "partition", "number"),
            Column("stands at", "stands_at", "number"),
            Column("why", "reason"),
            Column("read by", "owner", rank=1),
        ),
        is_paged=False,
    ),
    ("events", "types"): Listing(
        "/v1/events/types",
        "List each event type seen or declared: who publishes it, which flows listen, and an example of its data.",
        "There are no event types. A flow with `on.event(TYPE)` declares one.",
        (
            Column("type", "type", "id"),
            Column("published by", "publishers", "names", rank=2),
            Column("flows", "flows", "names"),
            Column("seen", "seen", "number", rank=1),
            Column("last seen", "last_seen_us", "time", rank=1),
            Column("example", "example", "json"),
        ),
        is_paged=False,
    ),
    ("nodes",): Listing(
        "/v1/nodes",
        "List the machines of the platform, with their devices.",
        "There are no nodes.",
        (
            Column("node", "id", "id"),
            Column("state", "state", "state"),
            Column("running", "attempts", "number"),
            Column("devices", "devices", "devices"),
            Column("memory", "memory_bytes", "bytes", rank=3),
            Column("labels", "labels", "labels", rank=1),
            Column("why", "reason", rank=2),
            Column("joined", "joined_us", "time", rank=2),
        ),
    ),
    ("actors",): Listing(
        "/v1/actors",
        "List the actors: mailbox, last event, restarts, memory.",
        "There are no actors.",
        (
            Column("actor", "name", "id"),
            Column("state", "state", "state"),
            Column("mailbox", "mailbox", "number"),
            Column("last event", "last_event", rank=1),
            Column("at", "last_event_us", "time", rank=2),
            Column("restarts", "restarts", "number"),
            Column("memory", "memory_bytes", "bytes"),
            Column("pid", "pid", "id", rank=3),
        ),
        is_paged=False,
    ),
}
