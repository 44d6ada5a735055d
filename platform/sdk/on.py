"""What starts a flow: `on.event(...)`, `on.commit(...)`, `on.finished(...)`, `on.model(...)`, `on.cron(...)`,
`on.all_of(...)`.

Every trigger takes these, by name:

    where        CEL, true over `data` and `event` for what may start a run
    map          {parameter: CEL}; without it the members of the data are the parameters
    key          CEL; what the trigger gathers or limits, it does so for each key
    debounce     of a burst only the last counts, once it was quiet for so long
    batch        (count, time): so many events are one run, or what has come in that time
    concurrency  so many runs at once: a number, or (number, "queue" | "drop-oldest" | "cancel-previous")
    labels       {name: CEL} for its runs, to find them by; one that gives null is left out
    priority     of its runs: added to that of their steps
    name         defaults to kind:subject; two of one name in a flow need it

A trigger's identity is project/flow/name, whatever version the code has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_args

import msgspec

from ..errors import InvalidInput, did_you_mean
from ..wire.manifest import KINDS, Batch, Concurrency, OverLimit, TriggerSpec
from ..wire.terms import JSON
from .duration import Duration, seconds

RUN_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "NEEDS_ATTENTION")
CATCH_UP_MAX = 1_000


class Options(TypedDict, total=False):
    """What every trigger takes; see the module."""

    where: str | None
    map: Mapping[str, str]
    key: str | None
    debounce: Duration
    batch: tuple[int, Duration]
    concurrency: int | tuple[int, OverLimit]
    priority: int
    labels: Mapping[str, str]
    name: str | None


def event(
    type: str,  # noqa: A002
    *,
    source: str | None = None,
    schema: Mapping[str, JSON] | None = None,
    **options: Unpack[Options],
) -> TriggerSpec:
    """Each event of this type, from anywhere or from one `source`.

    `schema` is a JSON Schema: data that does not fit it is a dead letter.
    """
    return _trigger("event", type, options, source=source, schema=dict(schema) if schema else None)


def commit(table: str, **options: Unpack[Options]) -> TriggerSpec:
    """Each commit to the table."""
    if "." not in table:
        raise InvalidInput(f"on.commit: {table!r} is no table name", remedy="Write namespace.table, as in lake.flights")
    return _trigger("commit", table, options)


def finished(flow: object, *, state: str = "SUCCEEDED", **options: Unpack[Options]) -> TriggerSpec:
    """Each run of the flow that ends in `state`; the flow is named `flow`, `project/flow`, or given itself."""
    if state not in RUN_STATES:
        raise InvalidInput(f"on.finished: {state!r} is no final state", remedy=did_you_mean(state, RUN_STATES))
    subject = flow if isinstance(flow, str) else str(getattr(flow, "full_name", ""))
    return _trigger("finished", subject, options, state=state)


def model(model_name: str, *, alias: str | None = None, **options: Unpack[Options]) -> TriggerSpec:
    """Each new version of the model; with `alias` instead each time that it is moved to a version."""
    if alias is not None and (not isinstance(alias, str) or not alias):
        raise InvalidInput(f"on.model: alias is {alias!r}", remedy='Write its name, as in alias="champion"')
    return _trigger("model", model_name if alias is None else f"{model_name}@{alias}", options)


def cron(expression: str, *, tz: str = "UTC", catch_up: str = "latest", **options: Unpack[Options]) -> TriggerSpec:
    """Each nominal time of a cron expression of five fields, or six with seconds, on the clocks of `tz`.

    `catch_up` says which of the times count that passed while the platform was down: `skip` none, `latest` the
    newest, `all(n)` the newest n. A flow that takes `nominal` gets the time.
    """
    return _trigger("cron", expression, options, timezone=tz, catch_up=_catch_up(catch_up))


def other(kind: str, subject: str, **options: Unpack[Options]) -> TriggerSpec:
    """What a kind of trigger hears that an installed package brings; deploy refuses one that is not there."""
    if kind in KINDS:
        raise InvalidInput(f"on.other: {kind!r} is a kind of ours", remedy=f"Write on.{kind}(...)")
    return _trigger(kind, subject, options)


def all_of(*members: TriggerSpec, within: Duration = 0, **options: Unpack[Options]) -> TriggerSpec:
    """One run when each of the triggers has come, for the same key, `within` that time of the first.

    Each gives the flow the parameters that its own `map` names, or those of its data's members that the flow takes.
    """
    wrong = next((member for member in members if not isinstance(member, TriggerSpec)), None)
    if wrong is not None:
        raise InvalidInput(f"on.all_of was given {wrong!r}", remedy="Give it triggers, such as on.event(...)")
    subject = " + ".join(member.subject for member in members)
    within_s = seconds(within, where="on.all_of: within")
    return _trigger("all_of", subject, options, members=members, within_s=within_s)


def _trigger(kind: str, subject: str, options: Options, **fields: Any) -> TriggerSpec:
    where = f"on.{kind}"
    if not isinstance(subject, str) or not subject:
        raise InvalidInput(f"{where} was given {subject!r}", remedy="Say what to listen for, as text")
    unknown = sorted(set(options) - Options.__annotations__.keys())
    if unknown:
        what = f"{where} has no option {unknown[0]!r}"
        raise InvalidInput(what, remedy=did_you_mean(unknown[0], Options.__annotations__))
    spec = TriggerSpec(
        name=options.get("name") or f"{kind}:{subject}",
        kind=kind,
        subject=subject,
        where=options.get("where"),
        map=dict(options.get("map") or {}),
        key=options.get("key"),
        debounce_s=seconds(options.get("debounce", 0), where=f"{where}: debounce"),
        batch=_batch(where, options.get("batch")),
        concurrency=_concurrency(where, options.get("concurrency")),
        priority=options.get("priority", 0),
        labels=dict(options.get("labels") or {}),
        line=_caller_line(),
        **fields,
    )
    return _typed(where, spec)


def _typed(where: str, spec: TriggerSpec) -> TriggerSpec:
    """The trigger as it will be read from the manifest."""
    try:
        return msgspec.json.decode(msgspec.json.encode(spec), type=TriggerSpec)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInput(f"{where}: {error}", remedy="See `help(headwater.sdk.on)`") from None


def _batch(where: str, given: tuple[int, Duration] | None) -> Batch | None:
    if given is None:
        return None
    if not isinstance(given, tuple) or len(given) != 2:
        raise InvalidInput(f"{where}: batch is {given!r}", remedy='Write (count, time), as in (100, "30s")')
    return Batch(count=given[0], within_s=seconds(given[1], where=f"{where}: batch"))


def _concurrency(where: str, given: int | tuple[int, OverLimit] | None) -> Concurrency | None:
    if given is None:
        return None
    limit, over = given if isinstance(given, tuple) and len(given) == 2 else (given, "queue")
    known = get_args(OverLimit)
    if over not in known or not isinstance(limit, int):
        remedy = f"Write a number, or (number, {' | '.join(known)})"
        raise InvalidInput(f"{where}: concurrency is {given!r}", remedy=remedy)
    return Concurrency(limit=limit, over=over)


def _catch_up(given: str) -> int:
    found = re.fullmatch(r"skip|latest|all\((\d+)\)", given)
    count = 0 if found is None else int(found[1] or (given == "latest"))
    if found is None or count > CATCH_UP_MAX:
        remedy = f"Write skip, latest, or all(n) with n up to {CATCH_UP_MAX:,}"
        raise InvalidInput(f"on.cron: catch_up is {given!r}", remedy=remedy)
    return count


def _caller_line() -> int:
    here = Path(__file__).name
    frame = sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).name == here:
        frame = frame.f_back
    return frame.f_lineno
