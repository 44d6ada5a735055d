"""Cron: each nominal time is one event, `trigger@nominal_utc`, whatever the clock does.

A timer holds the first nominal time that has not come. It only moves forward: a clock that is set back finds
it in the future, and after a jump or a downtime the trigger's `catch_up` says how many of the missed count.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ...cron import local_text, newest, next_after, utc_text
from ...records.triggers import Timer, TriggerState
from ...trigger import Happening, Trigger
from ...turn import Turn
from ..state import State
from .triggering import Cause, outcome_of

replace = msgspec.structs.replace

CRON: Final = "cron"
SOURCE: Final = "headwater"
LATE_US: Final = 60_000_000  # what comes within a minute was not missed
CATCH_UP_MAX: Final = 1_000


def set_clocks(state: State, turn: Turn) -> None:
    """A timer for every cron trigger there is, and for none that is gone; one whose times are the same stays."""
    crons = {f"{CRON}/{trigger.id}": trigger for trigger in state.trigger_of.values() if trigger.spec.kind == CRON}
    for timer in state.timers.values():
        if timer.kind == CRON and timer.id not in crons:
            state.timers.remove(timer.id)
    for timer_id, trigger in crons.items():
        known = state.timers.get(timer_id)
        if known is None or known.due_us != _next_after(trigger, _served_us(state, trigger)):
            _serve_until(state, turn, trigger)


def struck(state: State, turn: Turn, timer: Timer) -> None:
    """A nominal time has come; or several, where nobody was there to see them."""
    trigger = state.trigger_of.get(timer.id.removeprefix(f"{CRON}/"))
    if trigger is None or trigger.spec.kind != CRON:
        return
    for nominal_us in _to_run(trigger, timer.due_us, turn.now_us):
        happening = _happening(trigger, nominal_us)
        cause = Cause(happening, principal=f"project:{trigger.project}")
        outcome = outcome_of(state, turn, trigger, cause)
        state.mail.take_own(turn, happening, cause.principal, trigger.project, [outcome])
    _serve_until(state, turn, trigger)


def go_on(state: State, turn: Turn, timer: Timer) -> None:
    """The next time of a clock whose last could not be decided."""
    trigger = state.trigger_of.get(timer.id.removeprefix(f"{CRON}/"))
    if trigger is not None and trigger.spec.kind == CRON:
        _serve_until(state, turn, trigger)


def _to_run(trigger: Trigger, first_us: int, now_us: int) -> list[int]:
    spec = trigger.spec
    most = min(spec.catch_up, CATCH_UP_MAX) or 1
    times = newest(spec.subject, spec.timezone, first_us=first_us, last_us=now_us, most=most)
    return times if spec.catch_up else [time for time in times if now_us - time <= LATE_US]


def _serve_until(state: State, turn: Turn, trigger: Trigger) -> None:
    """All up to now is served, and nothing of it comes again; the next is waited for."""
    served_us = max(turn.now_us, _served_us(state, trigger))
    known = state.trigger_states.get(trigger.id) or TriggerState(id=trigger.id)
    state.trigger_states.put(trigger.id, replace(known, served_us=served_us))
    due_us = _next_after(trigger, served_us)
    timer = Timer(id=f"{CRON}/{trigger.id}", kind=CRON, due_us=due_us, run_id="", ordinal=0)
    state.timers.put(timer.id, timer)
    state.wake(turn, due_us)


def _served_us(state: State, trigger: Trigger) -> int:
    known = state.trigger_states.get(trigger.id)
    return 0 if known is None else known.served_us


def _next_after(trigger: Trigger, after_us: int) -> int:
    return next_after(trigger.spec.subject, trigger.spec.timezone, after_us)


def _happening(trigger: Trigger, nominal_us: int) -> Happening:
    event_id = f"{trigger.id}@{utc_text(nominal_us)}"
    nominal = local_text(nominal_us, trigger.spec.timezone)
    attributes = {"id": event_id, "source": SOURCE, "type": CRON, "subject": trigger.id, "project": trigger.project}
    return Happening(
        kind=CRON,
        subject=trigger.spec.subject,
        source=SOURCE,
        id=event_id,
        attributes=attributes,
        data={"nominal": nominal},
    )
