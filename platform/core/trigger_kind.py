"""A kind of trigger that a package adds: it reads entries of the log as things that flows can listen to.

A package brings one by an entry point of the group `headwater.trigger_kinds`, whose object is a `TriggerKind`; a flow
listens with `on.other(KIND, SUBJECT, ...)`, which takes all that every trigger takes. `check` proves in a test what a
kind promises. It runs in the Conductor's process for each entry of its `types`, so it is pure and quick.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from ..wire.manifest import KINDS, TriggerSpec
from ..wire.terms import JSON
from ..wire.types import Entry

GROUP: Final = "headwater.trigger_kinds"
HEARD_MAX: Final = 100
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Heard(msgspec.Struct, frozen=True):
    """Something that triggers of a kind can match: those whose subject it is. The data becomes the parameters that the
    flow takes, as with tables and runs."""

    subject: str
    data: JSON = None


@runtime_checkable
class TriggerKind(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def types(self) -> frozenset[str]:
        """The types of entries that it looks at, such as `run.succeeded`."""

    def fault(self, spec: TriggerSpec) -> str:
        """What is wrong with a trigger of this kind, told at deploy; empty where nothing is."""

    def hears(self, entry: Entry) -> Iterable[Heard]:
        """What an entry means to triggers of this kind; the same for the same entry. At most 100 things."""


def problem_of(kinds: Sequence[TriggerKind]) -> str:
    """Why these kinds cannot be used together; empty where they can."""
    names = [kind.name for kind in kinds]
    for name in names:
        if not _NAME.fullmatch(name) or name in KINDS or names.count(name) > 1:
            return f"{name!r} cannot be the name of a trigger kind: it is taken, or no lower-case word"
    return ""


def heard_by(kind: TriggerKind, entry: Entry) -> list[Heard]:
    """What the entry means to a kind; raises ValueError where that is more than can be."""
    found = list(kind.hears(entry)) if entry.type in kind.types else []
    if len(found) > HEARD_MAX or not all(isinstance(one, Heard) for one in found):
        raise ValueError(f"it hears {len(found)} things in one entry; at most {HEARD_MAX}, each a Heard")
    return found


def check(kind: TriggerKind, entry: Entry, spec: TriggerSpec, wrong: TriggerSpec) -> list[Heard]:
    """Proves, in a test, what a kind promises: it hears `spec`'s subject in `entry`, and refuses `wrong`."""
    assert isinstance(kind, TriggerKind)
    assert not problem_of([kind])
    assert entry.type in kind.types
    assert spec.kind == wrong.kind == kind.name
    assert kind.fault(spec) == ""
    assert kind.fault(wrong)
    first: list[Any] = heard_by(kind, entry)
    assert spec.subject in {one.subject for one in first}
    assert first == heard_by(kind, entry)
    msgspec.json.encode(first)
    return first
