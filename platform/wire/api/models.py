"""What the API answers about what is deployed, registered and served."""

from __future__ import annotations

from ..terms import JSON
from .answer import Answer


class TriggerView(Answer, frozen=True):
    name: str
    kind: str
    subject: str
    where: str | None = None


class FlowView(Answer, frozen=True):
    """`parameters` is a JSON Schema object."""

    project: str
    name: str
    code_version: str
    doc: str
    parameters: JSON
    triggers: tuple[TriggerView, ...]
    principal: str
    deployed_us: int


class Deployed(Answer, frozen=True):
    """What `POST /v1/deploys` answers: the code version and its flows as `project/flow`."""

    code_version: str
    flows: tuple[str, ...]
    command: str


class ModelView(Answer, frozen=True):
    name: str
    version: int
    project: str
    runtime: str
    digest: str
    size_bytes: int
    signature: JSON
    metrics: JSON
    run_id: str
    code_version: str
    tables: JSON
    principal: str
    registered_us: int
    aliases: tuple[str, ...] = ()


class DeploymentView(Answer, frozen=True):
    name: str
    project: str
    version: int
    state: str
    reason: str
    url: str
    replicas_min: int
    replicas_max: int
    principal: str
    requested_us: int
    ready_us: int | None = None
    gpus_milli: int = 0
    gpu_model: str = ""
    tier: int = 0
