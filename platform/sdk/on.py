"""What starts a flow: `on.event(...)`, `on.commit(...)`, `on.finished(...)`, `on.model(...)`.

`where` is CEL: true over `data` and `event` lets the event start a run. A trigger's name defaults to kind:subject;
two of one name in a flow need `name=`. Its identity is project/flow/name, whatever version the code has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import InvalidInput, did_you_mean
from ..wire.manifest import TriggerKind, TriggerSpec

RUN_STATES = ("SUCCEEDED", "FAILED", "CANCELLED", "NEEDS_ATTENTION")


def event(type: str, *, where: str | None = None, source: str | None = None, name: str | None = None) -> TriggerSpec:  # noqa: A002
    """Each event of this type, from anywhere or from one `source`."""
    return _trigger("event", type, where=where, source=source, name=name)


def commit(table: str, *, where: str | None = None, name: str | None = None) -> TriggerSpec:
    """Each commit to the table."""
    if "." not in table:
        raise InvalidInput(f"on.commit: {table!r} is no table name", remedy="Write namespace.table, as in lake.flights")
    return _trigger("commit", table, where=where, name=name)


def finished(
    flow: object, *, state: str = "SUCCEEDED", where: str | None = None, name: str | None = None
) -> TriggerSpec:
    """Each run of the flow that ends in `state`; the flow is named `flow`, `project/flow`, or given itself."""
    if state not in RUN_STATES:
        raise InvalidInput(f"on.finished: {state!r} is no final state", remedy=did_you_mean(state, RUN_STATES))
    subject = flow if isinstance(flow, str) else str(getattr(flow, "full_name", ""))
    return _trigger("finished", subject, where=where, state=state, name=name)


def model(model_name: str, *, where: str | None = None, name: str | None = None) -> TriggerSpec:
    """Each new version of the model."""
    return _trigger("model", model_name, where=where, name=name)


def _trigger(
    kind: TriggerKind,
    subject: str,
    *,
    where: str | None = None,
    source: str | None = None,
    state: str | None = None,
    name: str | None = None,
) -> TriggerSpec:
    if not isinstance(subject, str) or not subject:
        raise InvalidInput(f"on.{kind} was given {subject!r}", remedy="Say what to listen for, as text")
    named = name or f"{kind}:{subject}"
    return TriggerSpec(
        name=named, kind=kind, subject=subject, where=where, source=source, state=state, line=_caller_line()
    )


def _caller_line() -> int:
    here = Path(__file__).name
    frame = sys._getframe(1)
    while frame.f_back is not None and Path(frame.f_code.co_filename).name == here:
        frame = frame.f_back
    return frame.f_lineno
