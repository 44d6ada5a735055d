"""The documentation of the API: schemas made from the structs of `wire/api/`, with an example of each."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..wire.api.answer import ErrorAnswer, Problem
from ..wire.api.artifacts import ArtifactView, Collected
from ..wire.api.commands import CommandView, PostOrder
from ..wire.api.events import Accepted, DeadLetterDetail, DeadLetterSummary, EventType, GapView
from ..wire.api.holdings import Held, QuotaView, Waiting
from ..wire.api.models import Deployed, DeploymentView, FlowView, ModelView, TriggerView
from ..wire.api.quota import Lack, Simulate, Simulated, StepExplained, UsageView, Used
from ..wire.api.runs import CancelRun, RunDetail, RunSummary, Started, StartRun
from ..wire.api.status import ActorView, FlowMetrics, Readiness, Status
from ..wire.api.steps import StepView
from ..wire.api.tables import Appended, TableView
from ..wire.api.triggers import Explanation, Replayed, ReplayEvents, Resolved, ResolveLetters, SetTrigger, TriggerDetail
from ..wire.terms import Demand

REF: Final = "#/components/schemas/{name}"
_RUN: Final = "0197c5d2-8a41-7c3e-9b1f-0c7d5a1e2f30"
_T: Final = 1_760_000_000_000_000
_SUMMARY: Final = RunSummary(
    id=_RUN, project="eta", flow="train_delay", state="RUNNING", trigger="event:flights.landed",
    principal="topic:headwater.events", code_version="3f9c21", created_us=_T, started_us=_T + 4_000,
)  # fmt: skip
_STEP: Final = StepView(
    id=f"{_RUN}/0", ordinal=0, name="fit", state="WAITING", demand=Demand(gpus_milli=1000), created_us=_T,
    held_code="lent", held_reason="local/0 is lent to project 'etl' until its step ends",
)  # fmt: skip
_FLOW: Final = FlowView(
    project="eta", name="train_delay", code_version="3f9c21", doc="Predict arrival delay.",
    parameters={"type": "object", "properties": {"month": {"type": "integer"}}},
    triggers=(TriggerView(name="event:flights.landed", kind="event", subject="flights.landed"),),
    principal="token:local", deployed_us=_T,
)  # fmt: skip
_COHORT: Final = {
    "local": {
        "projects": {
            "flights": {"gpu": {"nominal": 1, "lend_limit": 1}, "cpu": 4, "memory": "8GiB"},
            "eta": {"gpu": {"nominal": 0, "borrow_limit": 1}, "cpu": 4, "memory": "8GiB"},
        }
    }
}
_EVENT: Final = {
    "specversion": "1.0", "id": "landed-2013-10", "source": "/airline", "type": "flights.landed",
    "data": {"rounds": 60},
}  # fmt: skip
_EXAMPLE_OF_BYTES: Final[dict[str, Any]] = {
    "application/cloudevents+json": _EVENT,
    "application/cloudevents-batch+json": [_EVENT],
}

EXAMPLES: Final[tuple[Any, ...]] = (
    _SUMMARY,
    RunDetail(**{f: getattr(_SUMMARY, f) for f in _SUMMARY.__struct_fields__}, steps=(_STEP,), steps_total=1),
    Accepted(ids=("landed-2013-10",)),
    Started(run_id=_RUN, command="0197c5d2-8a41-7000-8000-000000000001"),
    StartRun(flow="train_delay", project="eta", parameters={"month": 10}, key="nightly-2026-11-22"),
    CancelRun(reason="wrong month"),
    PostOrder(kind="quota.apply", data={"tree": {"cohort": _COHORT}}),
    CommandView(id="0197c5d2-8a41-7000-8000-000000000001", state="done", result={"version": 2}, position=41),
    ErrorAnswer(error=Problem(code="not_found", message="There is no run 'x'", remedy="See GET /v1/runs.")),
    EventType(type="flights.landed", publishers=("/airline",), flows=("eta/train_delay",), seen=3, last_seen_us=_T),
    _FLOW,
    ModelView(
        project="flights", name="delay", version=2, runtime="onnx", digest="42382855ea21", size_bytes=222_390,
        signature={"inputs": [{"name": "distance", "datatype": "FP64", "shape": [-1]}],
                   "outputs": [{"name": "arr_delay", "datatype": "FP32", "shape": [-1]}]},
        metrics={"mae": 11.4, "baseline_mae": 23.23}, run_id=_RUN, code_version="3f9c21",
        tables={"lake.flights": 9120821448250902266}, principal="topic:headwater.events", registered_us=_T,
    ),
    DeploymentView(
        project="flights", name="delay", version=2, state="READY", reason="",
        url="http://127.0.0.1:8001/v2/models/delay", replicas_min=0, replicas_max=2, requested_us=_T, ready_us=_T,
        principal="topic:headwater.events",
    ),
    TableView(
        name="lake.flights", snapshot_id=9120821448250902266, rows_total=279_752, announced_us=_T,
        columns=[["month", "long"], ["carrier", "string"]], metadata_location="file:///lake/flights/metadata/4.json",
    ),
    QuotaView(
        version=1, tree={"cohort": _COHORT}, principal="token:local", applied_us=_T,
        held=(Held(project="eta", devices=("local/0",), gpus_milli=1000, runs=1, used={"gpu": 1000, "cpu": 1000}),),
        waiting=(Waiting(step_id=f"{_RUN}/0", run_id=_RUN, project="flights", name="fit", code="lent",
                             reason="local/0 is lent to project 'eta' until its step ends", since_us=_T),),
    ),
    StepExplained(
        step_id=f"{_RUN}/0", project="eta", name="fit", code="quota",
        sentence="Step fit waits for quota: it needs 4 GPUs, and project eta may take 1 GPU more now.",
        lacks=(Lack(flavour="gpu", needed=4000, room=1000, bound_by="research", used=3000, nominal=2000),),
    ),
    Simulate(scenario={"lost": ["node-7"], "steps": [{"project": "eta", "gpu": 4, "count": 2}]}),
    Simulated(starts=("if/1",), ends=(), refused=(), losses=(), usage=[], homeless=(f"{_RUN}/0",)),
    UsageView(
        from_us=_T, to_us=_T + 3_600_000_000, bucket_s=3600,
        items=(Used(project="eta", from_us=_T, to_us=_T + 3_600_000_000, leased_gpu_ms=3_600_000,
                    running_gpu_ms=3_420_000, idle_gpu_ms=180_000, attempts=2),),
    ),
    Appended(table="lake.flights", snapshot_id=9120821448250902266, rows_added=27_268, rows_total=279_752,
                 commit_key="month-11"),
    DeadLetterSummary(
        id="0197c5d2-8a41-7000-8000-000000000002", code="invalid_json", reason="The body is not JSON",
        topic="headwater.events", partition=0, offset=41, event_type="", event_id="", trigger="", project="",
        received_us=_T,
    ),
    GapView(owner="conductor", topic="headwater.events", partition=2, stands_at=41, reason="data_gap"),
    ActorView(name="conductor", state="alive", pid=5812, last_event="WorkerJoined", last_event_us=_T,
                  memory_bytes=187_000_000),
    FlowMetrics(flow="flights/train_delay", minute_us=_T, started=1, succeeded=1, failed=0,
                    duration_us=24_200_000, duration_max_us=24_200_000),
    Status(
        version="0.1.0", home="/data/.headwater", inference_url="http://127.0.0.1:8001", bootstrap="127.0.0.1:9092",
        store_epoch="5f0c", position=45, relayed=45, started_us=_T,
    ),
    Readiness(ready=True, parts={"store": "ok", "conductor": "ok", "scheduler": "ok"}),
    Collected(dry_run=True, count=2, size_bytes=200_000_128),
    ArtifactView(
        digest="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", codec="arrow", size_bytes=1_048_576,
        run_id=_RUN, step_id=f"{_RUN}/0", ordinal=0, name="prepare", project="eta", attempt=1, created_us=_T,
        about={"type": "pyarrow.Table", "rows": 27_268, "columns": 1, "schema": [{"name": "month", "type": "int64"}]},
        head=[{"month": 11}],
    ),
    Deployed(code_version="3f9c21", flows=("flights/train_delay",),
                 command="0197c5d2-8a41-7000-8000-000000000003"),
)  # fmt: skip
_EXAMPLE_OF: Final = {type(example): example for example in EXAMPLES}
DOCUMENTED: Final[tuple[Any, ...]] = (
    *_EXAMPLE_OF,
    DeadLetterDetail,
    TriggerDetail,
    Explanation,
    SetTrigger,
    ResolveLetters,
    Resolved,
    ReplayEvents,
    Replayed,
)


def answers(kind: Any, *, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `kind`, and with an error otherwise."""
    errors = {"description": "What was wrong, and what to do", "content": _content(ErrorAnswer)}
    return {status: {"description": "Done", "content": _content(kind)}, "4XX": errors, "5XX": errors}


def pages(kind: Any) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": _ref(kind)}, "next": _NEXT}}
    example = {"items": [_example(kind)], "next": None} if kind in _EXAMPLE_OF else None
    return {**answers(kind), 200: {"description": "A page", "content": {"application/json": _media(schema, example)}}}


def takes(kind: Any) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is `kind`."""
    return {"requestBody": {"required": True, "content": _content(kind)}}


def takes_bytes(*media_types: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    content = {each: _media(schema, _EXAMPLE_OF_BYTES.get(each)) for each in media_types}
    return {"requestBody": {"required": True, "content": content}}


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
