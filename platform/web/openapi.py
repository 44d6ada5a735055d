"""The documentation of the API: schemas made from the structs of `wire/api.py`, with an example of each."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..wire import api
from ..wire.types import Demand

REF: Final = "#/components/schemas/{name}"
_RUN: Final = "0197c5d2-8a41-7c3e-9b1f-0c7d5a1e2f30"
_T: Final = 1_760_000_000_000_000
_SUMMARY: Final = api.RunSummary(
    id=_RUN, project="eta", flow="train_delay", state="RUNNING", trigger="event:flights.landed",
    principal="topic:headwater.events", code_version="3f9c21", created_us=_T, started_us=_T + 4_000,
)  # fmt: skip
_STEP: Final = api.StepView(
    id=f"{_RUN}/0", ordinal=0, name="fit", state="WAITING", demand=Demand(gpus_milli=1000), created_us=_T,
    held_code="lent", held_reason="local/0 is lent to project 'etl' until its step ends",
)  # fmt: skip
_FLOW: Final = api.FlowView(
    project="eta", name="train_delay", code_version="3f9c21", doc="Predict arrival delay.",
    parameters={"type": "object", "properties": {"month": {"type": "integer"}}},
    triggers=(api.TriggerView(name="event:flights.landed", kind="event", subject="flights.landed"),),
    principal="token:local", deployed_us=_T,
)  # fmt: skip

EXAMPLES: Final[tuple[Any, ...]] = (
    _SUMMARY,
    api.RunDetail(**{f: getattr(_SUMMARY, f) for f in _SUMMARY.__struct_fields__}, steps=(_STEP,), steps_total=1),
    api.Accepted(ids=("landed-2013-10",)),
    api.Started(run_id=_RUN, command="0197c5d2-8a41-7000-8000-000000000001"),
    api.StartRun(flow="train_delay", project="eta", parameters={"month": 10}, key="nightly-2026-11-22"),
    api.CancelRun(reason="wrong month"),
    api.PostOrder(kind="quota.apply", data={"projects": {}}),
    api.CommandView(id="0197c5d2-8a41-7000-8000-000000000001", state="done", result={"version": 2}, position=41),
    api.ErrorAnswer(error=api.Problem(code="not_found", message="There is no run 'x'", remedy="See GET /v1/runs.")),
    api.EventType(type="flights.landed", publishers=("/airline",), flows=("eta/train_delay",), seen=3, last_seen_us=_T),
    _FLOW,
)
_EXAMPLE_OF: Final = {type(example): example for example in EXAMPLES}
DOCUMENTED: Final[tuple[Any, ...]] = (
    *_EXAMPLE_OF, api.ModelView, api.DeploymentView, api.TableView, api.Appended, api.QuotaView, api.DeadLetterSummary,
    api.DeadLetterDetail, api.ActorView, api.FlowMetrics, api.Status, api.Readiness, api.Deployed,
)  # fmt: skip


def answers(kind: Any, *, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `kind`, and with an error otherwise."""
    errors = {"description": "What was wrong, and what to do", "content": _content(api.ErrorAnswer)}
    return {status: {"description": "Done", "content": _content(kind)}, "4XX": errors, "5XX": errors}


def pages(kind: Any) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": _ref(kind)}, "next": _NEXT}}
    example = {"items": [_example(kind)] if kind in _EXAMPLE_OF else [], "next": None}
    return {**answers(kind), 200: {"description": "A page", "content": {"application/json": _media(schema, example)}}}


def takes(kind: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is `kind`."""
    return {"requestBody": {"required": True, "content": _content(kind)}}


def takes_bytes(*media_types: str) -> dict[str, Any]:
    body = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(media_types, body)}}


def install(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


_NEXT: Final = {"type": ["string", "null"], "description": "`after=` of the next page"}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = document.setdefault("components", {})
    _, schemas = msgspec.json.schema_components(DOCUMENTED, ref_template=REF)
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    return document


def _content(kind: Any) -> dict[str, Any]:
    example = _example(kind) if kind in _EXAMPLE_OF else None
    return {"application/json": _media(_ref(kind), example)}


def _media(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"schema": schema} | ({} if example is None else {"example": example})


def _ref(kind: Any) -> dict[str, Any]:
    return {"$ref": REF.format(name=kind.__name__)}


def _example(kind: Any) -> Any:
    return msgspec.to_builtins(_EXAMPLE_OF[kind])
