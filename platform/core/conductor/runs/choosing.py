"""`first`: which of several commands has ended first, asked again and again of those that are left over.

A run has one choice at a time, the last that it asked for: its members that have not ended are watched, those that have
ended and were not chosen are ripe, in the order in which their outcomes were recorded. So to take ten thousand one
after another costs each of them one watch, and not one in every question.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ....wire import calls
from ...records.runs import CommandRow
from ..state import CHOICE, Choice, State


def choose(state: State, row: CommandRow, call: calls.FirstCall) -> int | None:
    """The command that has ended first; None where none has, and the next to end is it."""
    run_id, choice = row.run_id, state.choices.get(row.run_id)
    if call.again is None or choice is None or choice.latest != call.again:
        _drop(state, run_id)
    _join(state, run_id, call.of)
    found = state.ripe.first(run_id, 1)
    if found:
        state.ripe.discard(run_id, found[0])
    state.choices.put(run_id, Choice(latest=row.ordinal, is_open=not found))
    return found[0] if found else None


def ended(state: State, run_id: str, ordinal: int) -> int | None:
    """The `first` that is answered by this end; None where it is kept for the next."""
    state.watched_by.discard((run_id, ordinal), CHOICE)
    state.chosen_from.discard(run_id, ordinal)
    choice = state.choices.get(run_id)
    if choice is None or not choice.is_open:
        state.ripe.add(run_id, ordinal)
        return None
    state.choices.put(run_id, msgspec.structs.replace(choice, is_open=False))
    return choice.latest


def load_choice(state: State, run_id: str) -> None:
    """The last choice of a run, from the commands in memory."""
    rows = (state.commands[run_id, ordinal] for ordinal in reversed(state.commands_of.of(run_id)))
    last = next((row for row in rows if isinstance(row.command.call, calls.FirstCall)), None)
    if last is None:
        return
    left = _left_over(state, last)
    ripe = {ordinal: row.answered for ordinal in left if (row := state.commands.get((run_id, ordinal))) and row.outcome}
    for ordinal in sorted(ripe, key=lambda one: ripe[one]):
        state.ripe.load(run_id, ordinal)
    for ordinal in left - ripe.keys():
        state.watched_by.load((run_id, ordinal), CHOICE)
        state.chosen_from.load(run_id, ordinal)
    state.choices.load(run_id, Choice(latest=last.ordinal, is_open=last.outcome is None))


def _left_over(state: State, last: CommandRow) -> set[int]:
    """The members of a choice, with those before it that it goes on from, that none of them has given."""
    members: set[int] = set()
    given: set[int] = set()
    row: CommandRow | None = last
    while row is not None:
        call = row.command.call
        assert isinstance(call, calls.FirstCall)
        members.update(call.of)
        if row.outcome is not None and row.outcome.payload is not None:
            given.add(msgspec.json.decode(row.outcome.payload.inline or b""))
        row = None if call.again is None else state.commands.get((row.run_id, call.again))
    return members - given


def _join(state: State, run_id: str, members: Iterable[int]) -> None:
    rows = {ordinal: state.commands.get((run_id, ordinal)) for ordinal in members}
    over = {ordinal: row.answered for ordinal, row in rows.items() if row is not None and row.outcome is not None}
    for ordinal in rows.keys() - over.keys():
        state.watched_by.add((run_id, ordinal), CHOICE)
        state.chosen_from.add(run_id, ordinal)
    if over:
        _ripen(state, run_id, over)


def _ripen(state: State, run_id: str, over: dict[int, int]) -> None:
    """Those that have ended, and when, among those that had before, in the order of their ends."""
    before = [(state.commands[run_id, ordinal].answered, ordinal) for ordinal in state.ripe.of(run_id)]
    late = [(answered, ordinal) for ordinal, answered in over.items()]
    if before and min(late) < before[-1]:
        for _, ordinal in before:
            state.ripe.discard(run_id, ordinal)
        late += before
    for _, ordinal in sorted(late):
        state.ripe.add(run_id, ordinal)


def _drop(state: State, run_id: str) -> None:
    for ordinal in state.chosen_from.of(run_id):
        state.chosen_from.discard(run_id, ordinal)
        state.watched_by.discard((run_id, ordinal), CHOICE)
    for ordinal in state.ripe.of(run_id):
        state.ripe.discard(run_id, ordinal)
