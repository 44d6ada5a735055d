"""One of several things decided alone: where that raises, it is set aside, and what the others led to stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..ledger import Away
from ..turn import Turn
from .state import State

T = TypeVar("T")


def decide_alone(
    state: State,
    turn: Turn,
    one: T,
    decide: Callable[[State, Turn, T], None],
    set_aside: Callable[[State, Turn, T, Exception], None],
) -> None:
    """`Away` passes: what is not in memory is read, and the whole is decided again."""
    alone, mark = Turn(turn.now_us), state.book.mark()
    try:
        decide(state, alone, one)
    except Away:
        raise
    except Exception as error:  # whatever it raises concerns this one alone
        state.book.rollback(mark)
        alone = Turn(turn.now_us)
        set_aside(state, alone, one, error)
    turn.said += alone.said
    turn.effects += alone.effects
