"""What there is: flows, models, deployments, tables, nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ...store.queries import Queries
from ...wire.api.answer import Page
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
    return await _page(request, asked, Queries.flows)


@router.get("/models", responses=pages(ModelView))
async def list_models(request: Request, asked: Asked) -> Response:
    """Every version of every model, with what it came from."""
    return await _page(request, asked, Queries.models)


@router.get("/deployments", responses=pages(DeploymentView))
async def list_deployments(request: Request, asked: Asked) -> Response:
    """What should be served, and how it stands."""
    return await _page(request, asked, Queries.deployments)


@router.get("/tables", responses=pages(TableView))
async def list_tables(request: Request, asked: Asked) -> Response:
    """The newest announced snapshot of each table."""
    return await _page(request, asked, Queries.tables)


@router.get("/nodes", responses=pages(NodeView))
async def list_nodes(request: Request, asked: Asked) -> Response:
    """The machines that are or were nodes, with their devices."""
    return await _page(request, asked, Queries.nodes)


async def _page(request: Request, asked: Paging, listing: Callable[..., Page[Any]]) -> Response:
    queries = platform_of(request).queries
    return JsonAnswer(await asyncio.to_thread(listing, queries, after=asked.after, limit=asked.limit))
