"""What the HTTP API answers about triggers, and about what became of an event."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class TriggerDetail(Answer, frozen=True):
    """A trigger in force. `state` is active or paused; `next_us` is a cron's next time; `gathering` counts the runs
    that wait for more events."""

    id: str
    project: str
    flow: str
    name: str
    kind: str
    subject: str
    state: str = "active"
    paused_by: str = ""
    paused_us: int | None = None
    next_us: int | None = None
    gathering: int = 0
    where: str | None = None
    key: str | None = None


class Became(Answer, frozen=True):
    """What one event became for one trigger.

    `outcome` is run, waiting (with others, for a run), expired, no_match, dead_letter, or taken (by a run that waited
    for it).
    """

    outcome: str
    trigger: str = ""
    run_id: str = ""
    dead_letter: str = ""
    reason: str = ""


class Explanation(Answer, frozen=True):
    """What became of an event that was taken in. `duplicates` counts how often it came again."""

    id: str
    source: str
    type: str
    project: str
    principal: str
    received_us: int
    topic: str = ""
    partition: int = -1
    offset: int = -1
    duplicates: int = 0
    became: tuple[Became, ...] = ()


class SetTrigger(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/triggers/pause` and `resume`: the trigger's id."""

    trigger: str


class ResolveLetters(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/dlq/replay` and `discard`: at most 100 dead letters by id."""

    ids: tuple[str, ...]


class Unresolved(Answer, frozen=True):
    """A dead letter that stays, and why."""

    id: str
    reason: str


class Resolved(Answer, frozen=True):
    """What was done with dead letters; `became` says of each that was replayed what it is now."""

    resolved: tuple[str, ...] = ()
    became: tuple[Became, ...] = ()
    left: tuple[Unresolved, ...] = ()


class ReplayEvents(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/events/replay`: kept events, by id or by type and time, once more to the flow
    `project/flow`.

    One `replay` id starts one run for an event. `after` is the `next` of the page before.
    """

    flow: str
    replay: str
    ids: tuple[str, ...] = ()
    type: str = ""
    since: int | None = None
    until: int | None = None
    after: tuple[int, str, str] | None = None
    dry_run: bool = False


class Replayed(Answer, frozen=True):
    """A page of at most 100 events of a replay; `count` is how many there are in all."""

    count: int
    became: tuple[Became, ...] = ()
    next: tuple[int, str, str] | None = None


def outcome_of(told: JSON) -> Became:
    """One entry of an inbox row's outcome, as the API shows it; a part of a gathering is `waiting`."""
    known = {name: str(told.get(name, "")) for name in ("trigger", "run_id", "dead_letter", "reason")}
    if "no_match" in told:
        return Became(outcome="no_match", **{**known, "reason": str(told["no_match"])})
    if "wait_for" in told:
        return Became(outcome="taken", **{**known, "reason": f"the run waited for it as {told['wait_for']}"})
    if "dead_letter" in told:
        return Became(outcome="dead_letter", **known)
    if "part_of" in told and not told.get("run_id"):
        return Became(outcome="waiting", **known)
    return Became(outcome="run", **known)
