"""What is remembered of triggers between their events, and when what is due. Fields are the columns."""

from __future__ import annotations

import msgspec

from ...wire.terms import JSON


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """Something due at `due_us`: for a command of a run `sleep`, `wait`, `deadline`, `backoff` or `reclaim`; `cron`,
    whose trigger's id follows in its id; or `gather`, whose gathering's does."""

    id: str
    kind: str
    due_us: int
    run_id: str
    ordinal: int


class TriggerState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a trigger beside its code: who paused it, and up to when a cron has been served."""

    id: str
    paused: str = ""
    paused_us: int | None = None
    served_us: int = 0


class Gathering(msgspec.Struct, frozen=True, kw_only=True):
    """Events on their way to one run: of a join, a batch or a debounce, for one key of a trigger.

    `state`: OPEN, STARTED (with `run_id`), or ENDED without a run, for `reason`.
    """

    id: str
    trigger: str
    project: str
    key: str
    state: str = "OPEN"
    opened_us: int
    due_us: int
    count: int = 0
    run_id: str = ""
    reason: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a gathering that is open, as the parameters it gives. Of a join `number` is the member's."""

    gathering_id: str
    number: int
    source: str
    event_id: str
    event_type: str
    parameters: JSON
    labels: dict[str, str] = {}
    principal: str
    depth: int = 0
    root_id: str = ""
    received_us: int
