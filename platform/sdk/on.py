"""What starts a flow: `on.event(...)`, `on.commit(...)`, `on.finished(...)`, `on.model(...)`.

Every trigger takes these, by name:

    where   CEL, true over `data` and `event` for what may start a run
    map     {parameter: CEL}; without it the members of the data are the parameters
    key     CEL; what the trigger counts or gathers, it does so for each key
    name    defaults to kind:subject; two of one name in a flow need it

A trigger's identity is project/flow/name, whatever version the code has.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ..errors import InvalidInput, did_you_mean
from ..wire.manifest import TriggerKind, TriggerSpec
from ..wire.types import JSON

RUN_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "NEEDS_ATTENTION")


class Options(TypedDict, total=False):
    """What every trigger takes; see the module."""

    where: str | None
    map: Mapping[str, str]
    key: str | None
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


def model(model_name: str, **options: Unpack[Options]) -> TriggerSpec:
    """Each new version of the model."""
    return _trigger("model", model_name, options)


def _trigger(kind: TriggerKind, subject: str, options: Options, **fields: Any) -> TriggerSpec:
    if not isinstance(subject, str) or not subject:
        raise InvalidInput(f"on.{kind} was given {subject!r}", remedy="Say what to listen for, as text")
    unknown = sorted(set(options) - Options.__annotations__.keys())
    if unknown:
        what = f"on.{kind} has no option {unknown[0]!r}"
        raise InvalidInput(what, remedy=did_you_mean(unknown[0], Options.__annotations__))
    return TriggerSpec(
        name=options.get("name") or f"{kind}:{subject}",
        kind=kind,
        subject=subject,
        where=options.get("where"),
        map=dict(options.get("map") or {}),
        key=options.get("key"),
        line=_caller_line(),
        **fields,
    )


def _caller_line() -> int:
    here = Path(__file__).name
    frame = sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).name == here:
        frame = frame.f_back
    return frame.f_lineno
