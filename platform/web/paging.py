"""The query parameters of listings. An unknown one is refused, so that a misspelt filter is no filter unnoticed."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..wire.api.answer import PAGE_DEFAULT, PAGE_MAX


class Paging(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class ArtifactQuery(Paging):
    run: str | None = None
    project: str | None = None
    step: str | None = None


class StepQuery(Paging):
    step: str | None = None


class WatchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str | None = None
    flow: str | None = None
    state: list[str] = []
    label: list[str] = []
    since: str | None = None


class LetterQuery(Paging):
    state: str = "open"
    code: str | None = None
    trigger: str | None = None


class RunQuery(Paging):
    project: str | None = None
    flow: str | None = None
    state: str | None = None
    since: int | None = None
    until: int | None = None
    parameter: list[str] = []
    label: list[str] = []
    error: str = ""
