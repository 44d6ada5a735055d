"""What is said of flows, models and deployments: asked for by the Conductor, said by the Registry."""

from __future__ import annotations

from ..terms import JSON, Body


class FlowDeployed(Body, frozen=True, tag="flow.deployed"):
    flow: str
    code_version: str
    manifest: JSON


class ModelRequested(Body, frozen=True, tag="model.requested"):
    name: str
    ordinal: int
    digest: str
    runtime: str
    signature: JSON
    metrics: JSON
    size_bytes: int = 0
    code_version: str = ""
    tables: JSON = None
    serving: JSON = None


class ModelRegistered(Body, frozen=True, tag="model.registered"):
    name: str
    version: int
    digest: str
    run_id: str
    ordinal: int
    runtime: str = "onnx"
    signature: JSON = None
    metrics: JSON = None


class ModelAliased(Body, frozen=True, tag="model.aliased"):
    """The alias of a model stands for another version from here on."""

    name: str
    alias: str
    version: int
    previous_version: int | None = None


class ModelRefused(Body, frozen=True, tag="model.refused"):
    name: str
    run_id: str
    ordinal: int
    reason: str


class DeploymentRequested(Body, frozen=True, tag="deployment.requested"):
    name: str
    version: int
    digest: str
    replicas_min: int
    replicas_max: int
    gpus_milli: int = 0
    gpu_model: str = ""
    tier: int = 0


class DeploymentReady(Body, frozen=True, tag="deployment.ready"):
    name: str
    version: int
    url: str
    duration_us: int = 0


class DeploymentFailed(Body, frozen=True, tag="deployment.failed"):
    name: str
    version: int
    reason: str
