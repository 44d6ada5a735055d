"""The one table of what is said on lines: each word with the types of what it says and of its answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...wire import calls
from ...wire.terms import Failure
from ...wire.types import Entry


class Word:
    """The codec of one word. `answer` None: nobody is answered."""

    def __init__(self, said: Any, answer: Any = None) -> None:
        self.is_answered = answer is not None
        self.said: msgspec.msgpack.Decoder[tuple[Any, ...]] = msgspec.msgpack.Decoder(said)
        self.answer: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(answer or type(None))


class Pin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `pin`: one of the three."""

    table: calls.PinnedTable | None = None
    model: calls.PinnedModel | None = None
    failure: Failure | None = None

    @classmethod
    def of(cls, what: calls.PinnedTable | calls.PinnedModel | Failure) -> Pin:
        match what:
            case calls.PinnedTable():
                return cls(table=what)
            case calls.PinnedModel():
                return cls(model=what)
            case Failure():
                return cls(failure=what)

    @property
    def what(self) -> calls.PinnedTable | calls.PinnedModel | Failure:
        what = self.table or self.model or self.failure
        assert what is not None
        return what


WORDS: Final[dict[str, Word]] = {
    # To the Conductor.
    "issue": Word(tuple[str, int, list[calls.Command]], str),
    "ended": Word(tuple[calls.RunEnd], str),
    "pin": Word(tuple[str, str, str], Pin),
    "park": Word(tuple[str, int, list[int]], str),
    "checkpoint": Word(tuple[int, str, calls.Payload], str),
    "claim": Word(tuple[int, str, str], str),
    "join": Word(tuple[int, str, str, str], calls.Rendezvous),
    "propose": Word(tuple[list[calls.Grant]], list[calls.Verdict]),
    "reclaim": Word(tuple[list[calls.Reclaim]], list[calls.Verdict]),
    "hold": Word(tuple[list[calls.Hold]], bool),
    "notice": Word(tuple[list[Entry]]),
    # To the Conductor, and from it to Web.
    "progress": Word(tuple[list[calls.Progress]]),
    # To those who follow the log.
    "follow": Word(tuple[int, int, list[Entry]]),
    # To a FlowHost.
    "execute": Word(tuple[calls.RunOrder]),
    "deliver": Word(tuple[list[calls.Answer]]),
    "close": Word(tuple[str, int, str]),
    # To a worker.
    "run": Word(tuple[list[calls.AttemptOrder]], list[calls.Report]),
    "prepare": Word(tuple[list[calls.AttemptOrder]], list[calls.Report]),
    "leased": Word(tuple[list[int]]),
    "cancel": Word(tuple[int, float]),
    "preempt": Word(tuple[int, float]),
    "begin": Word(tuple[int, str]),
}
