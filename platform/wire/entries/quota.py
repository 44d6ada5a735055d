"""What is said of quota, by the Scheduler, and of storage by the Conductor; key = the project, or `tree`."""

from __future__ import annotations

from ..terms import JSON, Body


class QuotaChanged(Body, frozen=True, tag="quota.changed"):
    version: int
    tree: JSON


class QuotaReclaimed(Body, frozen=True, tag="quota.reclaimed"):
    """What attempt `fence` of `project` has is taken back for `for_step`, decided on this version of the tree."""

    project: str
    step_id: str
    fence: int
    for_step: str
    reason: str
    grace_s: float
    devices: tuple[str, ...]
    tree_version: int


class QuotaStorage(Body, frozen=True, tag="quota.storage"):
    """A project has come to another `level` of its storage quota: ok, warned (from 80 % on) or full."""

    project: str
    level: str
    limit_bytes: int | None
    artifacts_bytes: int
    tables_bytes: int
    logs_bytes: int
