"""Triggers, what became of an event, and dead letters once the fault is mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from ...wire.api.answer import Page
from ...wire.api.commands import CommandView
from ...wire.api.triggers import (
    Became,
    Explanation,
    Replayed,
    ReplayEvents,
    Resolved,
    ResolveLetters,
    SetTrigger,
    TriggerDetail,
)
from .call import Program, get, post

AT_ONCE: Final = 100


def triggers() -> Program[list[TriggerDetail]]:
    page: Page[TriggerDetail] = yield from get("/v1/triggers", Page[TriggerDetail])
    return page.items


def set_trigger(trigger: str, verb: str) -> Program[CommandView]:
    return post(f"/v1/triggers/{verb}", SetTrigger(trigger=trigger), CommandView)


def explain(event_id: str, source: str | None) -> Program[list[Explanation]]:
    asked = urlencode({"id": event_id} | ({"source": source} if source else {}))
    page: Page[Explanation] = yield from get(f"/v1/events/explain?{asked}", Page[Explanation])
    return page.items


def replay_events(asked: ReplayEvents) -> Program[Replayed]:
    """All pages of a replay, or with `dry_run` the count alone."""
    became: list[Became] = []
    while True:
        page: Replayed = yield from post("/v1/events/replay", asked, Replayed)
        became += page.became
        if page.next is None or asked.dry_run:
            return Replayed(count=page.count, became=tuple(became))
        asked = msgspec.structs.replace(asked, after=page.next)


def resolve(ids: Sequence[str], verb: str) -> Program[Resolved]:
    """Page by page; the platform gives the pace."""
    done = Resolved()
    for start in range(0, max(1, len(ids)), AT_ONCE):
        some = ResolveLetters(ids=tuple(ids[start : start + AT_ONCE]))
        page: Resolved = yield from post(f"/v1/dlq/{verb}", some, Resolved)
        done = Resolved(
            resolved=done.resolved + page.resolved, became=done.became + page.became, left=done.left + page.left
        )
    return done
