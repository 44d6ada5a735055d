"""What the API takes as a command, and what became of it."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class PostOrder(Answer, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/orders`: a command to the owner that its kind belongs to."""

    kind: str
    data: JSON = None
    project: str = ""
    id: str | None = None


class CommandView(Answer, frozen=True):
    """What became of a command: `state` is pending, done or refused."""

    id: str
    state: str
    result: JSON = None
    code: str = ""
    reason: str = ""
    position: int | None = None
