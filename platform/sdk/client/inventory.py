"""What there is: flows, models, tables, owners, and how the platform stands."""

from __future__ import annotations

import msgspec

from ...wire.api.models import DeploymentView, FlowView, ModelView
from ...wire.api.nodes import NodeView
from ...wire.api.status import ActorView, Readiness, Status
from ...wire.api.tables import TableView
from .call import Call, Program, get, listing


def flows() -> Program[list[FlowView]]:
    return listing("/v1/flows", FlowView)


def models() -> Program[list[ModelView]]:
    return listing("/v1/models", ModelView)


def deployments() -> Program[list[DeploymentView]]:
    return listing("/v1/deployments", DeploymentView)


def tables() -> Program[list[TableView]]:
    return listing("/v1/tables", TableView)


def actors() -> Program[list[ActorView]]:
    return listing("/v1/actors", ActorView)


def nodes() -> Program[list[NodeView]]:
    return listing("/v1/nodes", NodeView)


def status() -> Program[Status]:
    return get("/v1/status", Status)


def ready() -> Program[Readiness]:
    """The readiness, whether good or bad."""
    reply = yield Call("GET", "/readyz")
    return msgspec.json.decode(reply.body, type=Readiness)
