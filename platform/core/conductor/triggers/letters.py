"""Dead letters, once the fault is mended: replayed, each to at most one outcome, or discarded.

A letter of a trigger goes to that trigger alone, as it is deployed now; one of a record that could not be taken in
is taken in as if it came now. A letter that still does not fit stays open, and says why. What a person replays
begins a chain of its own.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec

from ....wire.calls import Order
from ....wire.entries.events import CommandDone, CommandRefused
from ....wire.envelope import Event, Rejected, parse
from ....wire.ids import digest_of
from ...inbox import LOG, Arrived, Ordered
from ...records.inbox import DeadLetter
from ...trigger import Happening, Match, Mismatch, judge, listeners_of
from ...turn import Turn
from ..state import State
from .triggering import Cause, begin, happening_of, match

replace = msgspec.structs.replace
LETTERS_MAX: Final = 100
Result = dict[str, str]


def replay(state: State, turn: Turn, asked: Ordered) -> CommandDone | CommandRefused:
    """Takes the letters up again. Those that stay are named with the reason."""
    return _each(asked, lambda letter: _again(state, turn, asked, letter))


def discard(state: State, turn: Turn, asked: Ordered) -> CommandDone | CommandRefused:
    """The letters need no more attention; their bytes are dropped."""

    def drop(letter: DeadLetter) -> Result:
        _resolve(state, turn, asked.order, replace(letter, state="discarded", raw=b"", headers=None))
        return {"outcome": "dead_letter", "dead_letter": letter.id, "reason": "discarded"}

    return _each(asked, drop)


def identity_of(letter: DeadLetter) -> tuple[str, str]:
    """Source and id of the event in it, for whoever looks whether that was taken in since."""
    parsed = _parsed(letter)
    return (letter.event_source, letter.event_id) if isinstance(parsed, str) else (parsed.source, parsed.id)


def _each(asked: Ordered, work: Any) -> CommandDone | CommandRefused:
    order = asked.order
    ids = order.data.get("ids") if isinstance(order.data, dict) else None
    if not isinstance(ids, list | tuple) or not 0 < len(ids) <= LETTERS_MAX:
        reason = f"Name 1 to {LETTERS_MAX} dead letters in `ids`"
        return CommandRefused(command=order.id, code="invalid_input", reason=reason)
    found = {letter.id: letter for letter in asked.letters}
    became: list[Result] = []
    left: list[Result] = []
    for letter_id in dict.fromkeys(map(str, ids)):
        letter = found.get(letter_id)
        if letter is None or letter.state != "open":
            reason = f"it was {letter.state} by {letter.resolved_by}" if letter else "there is none of that id"
            left.append({"id": letter_id, "reason": reason})
            continue
        told = work(letter)
        (became if "outcome" in told else left).append(told)
    resolved = [str(one["dead_letter"]) for one in became]
    return CommandDone(command=order.id, result={"resolved": resolved, "became": became, "left": left})


def _again(state: State, turn: Turn, asked: Ordered, letter: DeadLetter) -> Result:
    order = asked.order
    if letter.code == "id_conflict":
        return _stays(letter, "another event has its id: publish it again under an id of its own, or discard it")
    parsed = _parsed(letter)
    if isinstance(parsed, str):
        return _stays(letter, parsed)
    if letter.trigger:
        return _to_its_trigger(state, turn, order, letter, parsed)
    if not isinstance(parsed, Event):
        return _stays(letter, "the entry of the log that it tells of cannot be followed twice")
    if (parsed.source, parsed.id) in asked.taken or (state.mail.owner, parsed.source, parsed.id) in state.mail.rows:
        return _stays(letter, "an event of its source and id was taken in since: discard it")
    return _as_new(state, turn, order, letter, parsed)


def _parsed(letter: DeadLetter) -> Event | Happening | str:
    """What the letter holds, or why it cannot be read."""
    if letter.topic == LOG:
        try:
            return msgspec.json.decode(letter.raw, type=Happening)
        except msgspec.DecodeError:
            return "it holds no single event"
    parsed = parse(letter.raw, _headers(letter))
    return parsed.sentence if isinstance(parsed, Rejected) else parsed


def _headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    return [(str(name), None if text is None else base64.b64decode(text)) for name, text in letter.headers or ()]


def _to_its_trigger(state: State, turn: Turn, order: Order, letter: DeadLetter, parsed: Event | Happening) -> Result:
    trigger = state.trigger_of.get(letter.trigger)
    if trigger is None:
        return _stays(letter, f"trigger {letter.trigger} is no longer deployed")
    happening = happening_of(parsed) if isinstance(parsed, Event) else parsed
    happening = replace(happening, depth=0, root_id="")
    reasons = []
    for listener in listeners_of(trigger):
        verdict = judge(listener, happening)
        if isinstance(verdict, Match):
            key = digest_of(trigger.id, happening.source, happening.id, "letter", letter.id)
            outcome = begin(state, turn, listener, verdict, Cause(happening, order.principal), key)
            run_id = outcome.get("run_id", "")
            _resolve(state, turn, order, replace(letter, state="replayed", run_id=run_id))
            return _told(letter, "run" if run_id else "waiting", run_id=run_id)
        reasons.append(verdict.reason)
        if isinstance(verdict, Mismatch):
            return _stays(letter, verdict.reason)
    _resolve(state, turn, order, replace(letter, state="replayed"))
    return _told(letter, "no_match", reason="; ".join(reasons))


def _as_new(state: State, turn: Turn, order: Order, letter: DeadLetter, event: Event) -> Result:
    record = Arrived(
        topic=letter.topic,
        topic_id="",
        partition=letter.partition,
        offset=letter.offset,
        previous=None,
        parsed=event,
        raw=letter.raw,
        headers=_headers(letter),
        principal=letter.principal,
    )
    outcomes = match(state, turn, Cause(happening_of(event), letter.principal, record))
    state.mail.take_event(turn, record, event, outcomes)
    run_id = next((one["run_id"] for one in outcomes if one.get("run_id")), "")
    _resolve(state, turn, order, replace(letter, state="replayed", run_id=run_id))
    return _told(letter, "run" if run_id else "no_match", run_id=run_id)


def _resolve(state: State, turn: Turn, order: Order, letter: DeadLetter) -> None:
    resolved = replace(letter, resolved_by=order.principal, resolved_us=turn.now_us)
    state.mail.dead_letters.put(letter.id, resolved)


def _told(letter: DeadLetter, outcome: str, **more: str) -> Result:
    return {"outcome": outcome, "trigger": letter.trigger, "dead_letter": letter.id, **more}


def _stays(letter: DeadLetter, reason: str) -> Result:
    return {"id": letter.id, "reason": reason}
