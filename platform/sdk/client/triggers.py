"""Triggers, what became of an event, and dead letters once the fault is mended."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from ...wire import api
from ...wire.trigger_api import Explanation, Resolved, ResolveLetters, SetTrigger, TriggerDetail
from .call import Program, get, post


def triggers() -> Program[list[TriggerDetail]]:
    page: api.Page[TriggerDetail] = yield from get("/v1/triggers", api.Page[TriggerDetail])
    return page.items


def set_trigger(trigger: str, verb: str) -> Program[api.CommandView]:
    return post(f"/v1/triggers/{verb}", SetTrigger(trigger=trigger), api.CommandView)


def explain(event_id: str, source: str | None) -> Program[list[Explanation]]:
    asked = urlencode({"id": event_id} | ({"source": source} if source else {}))
    page: api.Page[Explanation] = yield from get(f"/v1/events/explain?{asked}", api.Page[Explanation])
    return page.items


def resolve(ids: Iterable[str], verb: str) -> Program[Resolved]:
    return post(f"/v1/dlq/{verb}", ResolveLetters(ids=tuple(ids)), Resolved)
