"""What there is: flows, models, deployments, tables, nodes."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...wire.api.models import DeploymentView, FlowView, ModelView
from ...wire.api.nodes import NodeView
from ...wire.api.tables import TableView
from ..answers import JsonAnswer
from ..openapi import pages
from ..paging import Paging
from ..requests import platform_of

router = APIRouter(prefix="/v1", tags=["inventory"])
Asked = Annotated[Paging, Query()]


@router.get("/flows", responses=pages(FlowView))
async def list_flows(request: Request, asked: Asked) -> Response:
    """The newest code version of each flow, with its triggers and the JSON Schema of its parameters."""
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.flows, after=asked.after, limit=asked.limit))


@router.get("/models", responses=pages(ModelView))
async def list_models(request: Request, asked: Asked) -> Response:
    """Every version of every model, with what it came from."""
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.models, after=asked.after, limit=asked.limit))


@router.get("/deployments", responses=pages(DeploymentView))
async def list_deployments(request: Request, asked: Asked) -> Response:
    """What should be served, and how it stands."""
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.deployments, after=asked.after, limit=asked.limit))


@router.get("/tables", responses=pages(TableView))
async def list_tables(request: Request, asked: Asked) -> Response:
    """The newest announced snapshot of each table."""
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.tables, after=asked.after, limit=asked.limit))


@router.get("/nodes", responses=pages(NodeView))
async def list_nodes(request: Request, asked: Asked) -> Response:
    """The machines that are or were nodes, with their devices."""
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(queries.nodes, after=asked.after, limit=asked.limit))
