"""The one table of listings: the words of the command, the address that answers, the columns shown, the filters.

Standard library only: `headwater runs --json` is answered from this table without loading the rest.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Column(NamedTuple):
    """`field` is the name in the answer; `kind` says how it is shown: text, time, id, bytes or names."""

    heading: str
    field: str
    kind: str = "text"


class Listing(NamedTuple):
    path: str
    help: str
    columns: tuple[Column, ...]
    filters: tuple[str, ...] = ()
    is_paged: bool = True


LISTINGS: Final[dict[tuple[str, ...], Listing]] = {
    ("runs",): Listing(
        "/v1/runs",
        "List runs, newest first.",
        (
            Column("run", "id", "id"),
            Column("project", "project"),
            Column("flow", "flow"),
            Column("state", "state", "state"),
            Column("trigger", "trigger"),
            Column("created", "created_us", "time"),
            Column("ended", "ended_us", "time"),
        ),
        ("project", "flow", "state", "since"),
    ),
    ("flows",): Listing(
        "/v1/flows",
        "List the deployed flows, with what triggers them.",
        (
            Column("project", "project"),
            Column("flow", "name"),
            Column("triggers", "triggers", "names"),
            Column("code", "code_version", "digest"),
            Column("deployed", "deployed_us", "time"),
            Column("about", "doc"),
        ),
    ),
    ("models",): Listing(
        "/v1/models",
        "List every version of every model.",
        (
            Column("model", "name"),
            Column("version", "version"),
            Column("project", "project"),
            Column("runtime", "runtime"),
            Column("metrics", "metrics", "json"),
            Column("run", "run_id", "id"),
            Column("registered", "registered_us", "time"),
        ),
    ),
    ("deployments",): Listing(
        "/v1/deployments",
        "List what is served, and how it stands.",
        (
            Column("model", "name"),
            Column("version", "version"),
            Column("state", "state", "state"),
            Column("address", "url"),
            Column("ready", "ready_us", "time"),
            Column("reason", "reason"),
        ),
    ),
    ("tables",): Listing(
        "/v1/tables",
        "List the tables with their newest snapshot.",
        (
            Column("table", "name"),
            Column("rows", "rows_total", "number"),
            Column("columns", "columns", "names"),
            Column("snapshot", "snapshot_id"),
            Column("announced", "announced_us", "time"),
        ),
    ),
    ("dlq", "list"): Listing(
        "/v1/dlq",
        "List what could not be taken in, newest first.",
        (
            Column("id", "id", "id"),
            Column("code", "code"),
            Column("reason", "reason"),
            Column("event", "event_type"),
            Column("topic", "topic"),
            Column("offset", "offset"),
            Column("received", "received_us", "time"),
        ),
    ),
    ("events", "types"): Listing(
        "/v1/events/types",
        "List each event type seen or declared: who publishes it, which flows listen, when it was last seen.",
        (
            Column("type", "type"),
            Column("published by", "publishers", "names"),
            Column("flows", "flows", "names"),
            Column("seen", "seen", "number"),
            Column("last seen", "last_seen_us", "time"),
            Column("example", "example", "json"),
        ),
        is_paged=False,
    ),
    ("actors",): Listing(
        "/v1/actors",
        "List the actors: mailbox, last event, restarts, memory.",
        (
            Column("actor", "name"),
            Column("state", "state", "state"),
            Column("pid", "pid"),
            Column("mailbox", "mailbox", "number"),
            Column("last event", "last_event"),
            Column("at", "last_event_us", "time"),
            Column("restarts", "restarts", "number"),
            Column("memory", "memory_bytes", "bytes"),
        ),
        is_paged=False,
    ),
}
