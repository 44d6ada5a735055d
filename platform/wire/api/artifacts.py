"""What the API answers about what steps leave behind: results and logs."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class ArtifactView(Answer, frozen=True):
    """The result of a step. `digest` is empty where it is small and lies in the database; `about` says what it is, and
    `head` shows its beginning where that can be read without running code: Arrow, arrays, JSON and text."""

    digest: str
    codec: str
    size_bytes: int
    run_id: str
    step_id: str
    ordinal: int
    name: str
    project: str
    attempt: int
    created_us: int
    about: JSON = None
    head: JSON = None


class LogText(Answer, frozen=True):
    """What a step's attempt, or the flow itself (`ordinal` -1), wrote from `offset` up to `end` of its log: whole
    lines, mostly. Before it `left_out` bytes of a log over its bound are gone."""

    name: str
    ordinal: int
    attempt: int
    offset: int
    end: int
    text: str
    left_out: int = 0


class Collected(Answer, frozen=True):
    """What a collection of artifacts took, or would take: `largest` are the first of them."""

    dry_run: bool
    count: int
    size_bytes: int
    largest: tuple[str, ...] = ()
