"""Events that are kept, once more to one flow: after a fix, or for a flow that came later.

Each page is a command of its own. One replay id starts one run for an event, however often it is asked; the flow's
trigger for the type decides, and where it has none the event's data are the parameters.
"""

from __future__ import annotations

from typing import Any

from ....wire.entries.events import CommandDone, CommandRefused
from ....wire.ids import digest_of
from ...inbox import Ordered
from ...records.inbox import InboxRow
from ...trigger import Happening, Match, Trigger, judge, misfit
from ...turn import Turn
from ..runs.starting import Start, new_run
from ..runs.waiting import happening_of_row
from ..state import State

Result = dict[str, str]


def replay_events(state: State, turn: Turn, asked: Ordered) -> CommandDone | CommandRefused:
    """What became of each event of the page; with `dry_run` how many there are, and nothing else."""
    order, data = asked.order, asked.order.data if isinstance(asked.order.data, dict) else {}
    project, _, name = str(data.get("flow", "")).partition("/")
    if (project, name) not in state.flows:
        reason = f"There is no flow {data.get('flow')!r}; name it as project/flow"
        return CommandRefused(command=order.id, code="not_found", reason=reason)
    if not data.get("replay"):
        reason = "A replay has an id of its own: say `replay`"
        return CommandRefused(command=order.id, code="invalid_input", reason=reason)
    became: list[Result] = []
    if not data.get("dry_run"):
        became = [_once_more(state, turn, asked, row) for row in asked.kept]
    return CommandDone(command=order.id, result={**(asked.kept_page or {}), "became": became})


def replay_key(data: dict[str, Any], row: InboxRow) -> str:
    """The idempotency key of the run that a replay starts for an event."""
    return digest_of("replay", str(data.get("replay")), str(data.get("flow")), row.source, row.id)


def _once_more(state: State, turn: Turn, asked: Ordered, row: InboxRow) -> Result:
    data: dict[str, Any] = asked.order.data
    key, (project, _, name) = replay_key(data, row), str(data["flow"]).partition("/")
    known = state.run_of_key.get(key) or asked.kept_runs.get(key)
    if known is not None:
        return {"outcome": "run", "run_id": known, "reason": "this replay had started it before"}
    happening = happening_of_row(row, state.mail.default_project)
    found = _judged(state, happening, (project, name))
    if not isinstance(found, Match):
        return {"outcome": "no_match", "reason": f"{row.source}/{row.id}: {found}"}
    start = Start(
        flow=(project, name),
        parameters=found.parameters,
        idempotency_key=key,
        principal=asked.order.principal,
        event=(row.source, row.id),
        labels=found.labels,
    )
    return {"outcome": "run", "run_id": new_run(state, turn, start).id}


def _judged(state: State, happening: Happening, flow: tuple[str, str]) -> Match | str:
    listeners: tuple[Trigger, ...] = state.triggers.get((happening.kind, happening.subject)) or ()
    mine = [one for one in listeners if (one.project, one.flow) == flow and one.member is None]
    reasons = []
    for trigger in mine:
        verdict = judge(trigger, happening)
        if isinstance(verdict, Match) and trigger.spec.batch is None:
            return verdict
        reasons.append("it listens in batches" if isinstance(verdict, Match) else verdict.reason)
    if reasons:
        return "; ".join(reasons)
    parameters = {} if happening.data is None else happening.data
    if not isinstance(parameters, dict):
        return "its data is no object"
    return misfit(state.flows[flow].spec.parameters, parameters) or Match(parameters)
