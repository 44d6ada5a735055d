"""Quota: the tree, why a step waits, what would happen if, and what was used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ...wire.api.holdings import QuotaView
from ...wire.api.quota import Simulate, Simulated, StepExplained, UsageView
from .call import Program, get, post


def quota() -> Program[QuotaView]:
    return get("/v1/quota", QuotaView)


def explain_step(step_id: str) -> Program[StepExplained]:
    return get(f"/v1/quota/explain/{quote(step_id)}", StepExplained)


def simulate(scenario: Mapping[str, Any]) -> Program[Simulated]:
    return post("/v1/quota/simulate", Simulate(scenario=dict(scenario)), Simulated)


def usage(from_us: int | None, to_us: int | None, bucket_s: int | None, project: str | None) -> Program[UsageView]:
    asked = {"from": from_us, "to": to_us, "bucket": bucket_s, "project": project}
    return get("/v1/quota/usage", UsageView, **asked)
