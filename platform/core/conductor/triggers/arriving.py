"""T1: what comes in, by topic or directly. Nothing is lost: a run, a no-match, a duplicate, or a dead letter."""

from __future__ import annotations

from ....wire import topics
from ....wire.envelope import Rejected
from ...inbox import Arrived, Ordered, TopicGap
from ...turn import Turn
from ..runs.ordering import obey
from ..state import State
from .triggering import Cause, Outcome, happening_of, is_listened_to, match


def arrived(state: State, turn: Turn, record: Arrived) -> None:
    """Takes a record in: an event, or a command that came by its topic."""
    if record.topic == topics.RUN_COMMANDS.name:
        asked = record.asked
        state.mail.command_record(turn, record, lambda order: obey(state, turn, asked or Ordered(order=order)))
        return
    if not state.mail.advance(turn, record):
        return
    event = record.parsed
    if isinstance(event, Rejected):
        state.mail.bury(turn, record, code=str(event.reason), reason=event.sentence)
    elif not state.mail.seen(turn, record, event):
        outcomes: list[Outcome] = []
        if is_listened_to(state, event.type):
            outcomes = match(state, turn, Cause(happening_of(event), record.principal, record))
        state.mail.take_event(turn, record, event, outcomes)


def ordered(state: State, turn: Turn, event: Ordered) -> None:
    state.mail.ordered(turn, event, lambda _: obey(state, turn, event))


def halted(state: State, turn: Turn, gap: TopicGap) -> None:
    state.mail.halt(turn, gap)
