"""The Registry as a pure machine: what code, which model versions and which deployments there are.

    code.deploy ──────► code version, flows ──► flow.deployed
    model.requested ──► the next version ─────► model.registered | model.refused (► deployment.requested)
    deployment.apply ─► REQUESTED ────────────► deployment.ready | deployment.failed, on the Deployer's word

Requests for models are entries of the log. The cursor is written with their answers: what was not answered
before a stop is found again after the start, and (run, ordinal) makes one version however often it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import did_you_mean
from ...wire.calls import Order
from ...wire.entries.events import CommandDone, CommandRefused
from ...wire.entries.models import ModelRequested
from ...wire.entries.quota import QuotaChanged
from ..inbox import Arrived, Ordered, TopicGap
from ..ledger import Book
from ..turn import Turn
from . import messages as m
from .aliases import move
from .deployments import apply, became_failed, became_ready, remove, serving_began
from .deploys import deploy
from .models import refuse_model, requested
from .state import State, refuse


class Registry:
    """Decides for flows, models and deployments. Its state is owned by the one loop that calls `decide`."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def book(self) -> Book:
        return self.state.book

    def decide(self, event: m.Event, now_us: int) -> Turn:
        turn = Turn(now_us)
        _HANDLERS[type(event)](self.state, turn, event)
        return turn

    def set_aside(self, event: m.Event, now_us: int, error: Exception) -> Turn:
        """A record becomes a dead letter, a request for a model is refused, a caller gets the error."""
        turn = Turn(now_us)
        reason = f"The engine could not decide this: {type(error).__name__}: {error}"
        if isinstance(event, Arrived):
            self.state.mail.set_aside(turn, event, reason)
        elif isinstance(event, m.Followed):
            if event.entry is not None and isinstance(event.entry.body, ModelRequested):
                refuse_model(turn, event.entry, event.entry.body, reason)
            self.state.read_up_to(event.upto, answered=True)
        else:
            turn.answer = error
        return turn

    def objected(self, event: m.Event, now_us: int, reason: str) -> Turn:
        """Never asked for: this machine sets no guards."""
        return self.set_aside(event, now_us, RuntimeError(reason))

    def settle(self) -> None:
        self.state.book.settle()
        self.state.tidy()


def _followed(state: State, turn: Turn, event: m.Followed) -> None:
    if event.upto <= state.cursor:
        return
    if event.after > state.cursor:
        turn.effects.append(m.Reread())
        return
    body = event.entry.body if event.entry is not None else None
    if isinstance(body, QuotaChanged):
        state.learn_tree(body.tree)
    elif isinstance(body, ModelRequested):
        assert event.entry is not None
        requested(state, turn, event.entry, body)
    state.read_up_to(event.upto, answered=isinstance(body, ModelRequested))


def _arrived(state: State, turn: Turn, record: Arrived) -> None:
    state.mail.command_record(turn, record, lambda order: _obey(state, turn, order))


def _ordered(state: State, turn: Turn, event: Ordered) -> None:
    state.mail.ordered(turn, event, lambda order: _obey(state, turn, order))


def _halted(state: State, turn: Turn, gap: TopicGap) -> None:
    state.mail.halt(turn, gap)


def _obey(state: State, turn: Turn, order: Order) -> CommandDone | CommandRefused:
    command = _COMMANDS.get(order.kind)
    if command is None:
        remedy = did_you_mean(order.kind, _COMMANDS)
        return refuse(order, "unknown_command", f"The Registry has no command {order.kind!r}. {remedy}")
    return command(state, turn, order, order.data if isinstance(order.data, dict) else {})


_COMMANDS: dict[str, Callable[[State, Turn, Order, dict[str, Any]], CommandDone | CommandRefused]] = {
    "code.deploy": deploy,
    "model.alias": move,
    "deployment.apply": apply,
    "deployment.remove": remove,
}

_HANDLERS: dict[type, Callable[[State, Turn, Any], None]] = {
    Arrived: _arrived,
    TopicGap: _halted,
    Ordered: _ordered,
    m.Followed: _followed,
    m.BecameReady: became_ready,
    m.BecameFailed: became_failed,
    m.ServingBegan: serving_began,
}
