"""What there is: flows, models, tables, owners, and how the platform stands."""

from __future__ import annotations

import msgspec

from ...wire import api
from .call import Call, Program, get, listing


def flows() -> Program[list[api.FlowView]]:
    return listing("/v1/flows", api.FlowView)


def models() -> Program[list[api.ModelView]]:
    return listing("/v1/models", api.ModelView)


def deployments() -> Program[list[api.DeploymentView]]:
    return listing("/v1/deployments", api.DeploymentView)


def tables() -> Program[list[api.TableView]]:
    return listing("/v1/tables", api.TableView)


def actors() -> Program[list[api.ActorView]]:
    return listing("/v1/actors", api.ActorView)


def nodes() -> Program[list[api.NodeView]]:
    return listing("/v1/nodes", api.NodeView)


def status() -> Program[api.Status]:
    return get("/v1/status", api.Status)


def ready() -> Program[api.Readiness]:
    """The readiness, whether good or bad."""
    reply = yield Call("GET", "/readyz")
    return msgspec.json.decode(reply.body, type=api.Readiness)
