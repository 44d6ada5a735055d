"""Desired models in, Ray Serve apps out.

Each model is one app at `/v2/models/NAME`, named `model:NAME`; the app `root` answers the rest of `/v2`. An app
carries the fingerprint of what it runs as its version, so that deploying the same again restarts nothing: Serve
itself is the memory, and `reconcile` may be called as often as one likes. The token, the route and the bounds of
replicas change in place.

Serve holds a request for a routed app until a replica is up, however long that takes. So an app gets its route only
once a replica runs, and until then the request reaches `root`, which answers 503. Hence two calls: `reconcile`
starts the replicas, and the call after they are up opens the route; repeat it while `status` says STARTING. A model
that may scale to zero keeps its route from then on: there the wait is wanted.

The caller's process is connected to Ray, with Serve's variables in the environment of every Ray process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import msgspec
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationDetails, ApplicationStatus, LoggingConfig, ServeInstanceDetails

from ..actors.names import AT_HEAD
from ..errors import InvalidInput
from .replica import ModelReplica
from .root import RootConfig, RootReplica

LOOPBACK = "127.0.0.1"
ROOT = "root"
PREFIX = "model:"
ONGOING_MAX = 256
ONGOING_TARGET = 16
DRAIN_S = 10.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ServeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One model version as it should be served. `folder` holds the files of `digest` on every node."""

    name: str
    version: str
    digest: str
    folder: str
    min_replicas: int = 1
    max_replicas: int = 1
    threads: int = 1
    seats: str = ""  # the folder of its seats, where each replica leases devices
    seated: int = 0  # of which so many are kept now: that many replicas stand


class Readiness(StrEnum):
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    REMOVING = "removing"


class ModelStatus(msgspec.Struct, frozen=True):
    """How a model's app fares, with Serve's words where it fails."""

    readiness: Readiness
    replicas: int
    message: str = ""


_READINESS = {
    ApplicationStatus.RUNNING: Readiness.READY,
    ApplicationStatus.DEPLOY_FAILED: Readiness.FAILED,
    ApplicationStatus.UNHEALTHY: Readiness.FAILED,
    ApplicationStatus.DELETING: Readiness.REMOVING,
}


def is_running() -> bool:
    """Whether Serve has run in this life of Ray."""
    return _get_global_client(raise_if_no_controller_running=False) is not None


def start(port: int, *, token: str, version: str, request_timeout_s: float | None = None) -> None:
    """Brings Serve up on 127.0.0.1:port with the app at `/v2`; returns when health answers. Idempotent."""
    http = serve.HTTPOptions(host=LOOPBACK, port=port, request_timeout_s=request_timeout_s)
    serve.start(proxy_location="HeadOnly", http_options=http, logging_config=_quiet())
    if ROOT not in _apps():
        serve.run_many([_root(_hash(token), [], version).target()])


def reconcile(desired: Sequence[ServeSpec], *, token: str, version: str) -> dict[str, ModelStatus]:
    """Makes Serve run exactly `desired`, and says how each model fared before; does not wait for replicas. Idempotent.

    A version that replaces another starts beside it. Raises InvalidInput for a spec that cannot be served.
    """
    for spec in desired:
        _check(spec)
    apps, before = _apps(), status()
    root = _root(_hash(token), sorted(spec.name for spec in desired), version)
    _deploy([root, *(_model(spec, _hash(token), apps.get(PREFIX + spec.name)) for spec in desired)], apps)
    for name in before.keys() - {spec.name for spec in desired}:
        remove_model(name)  # last: `root`, which answers from then on, already hears that there is no such model
    return before


def remove_model(name: str) -> None:
    """Ends a model's app after its requests; nothing where there is none."""
    serve.delete(PREFIX + name, _blocking=False)


def status() -> dict[str, ModelStatus]:
    """The models that Serve knows, by name."""
    return {name.removeprefix(PREFIX): _status(app) for name, app in _apps().items() if name.startswith(PREFIX)}


@dataclass(frozen=True, slots=True)
class _Desired:
    """An app as it should be; `config` also tells one order from another."""

    name: str
    route: str | None
    config: dict[str, object]
    deployment: serve.Deployment
    arguments: tuple[object, ...]

    def is_deployed(self, app: ApplicationDetails | None) -> bool:
        if app is None or app.status == ApplicationStatus.DELETING or app.route_prefix != self.route:
            return False
        configs = [one.deployment_config.user_config for one in app.deployments.values()]
        return configs == [self.config]

    def target(self) -> serve.RunTarget:
        app = self.deployment.options(user_config=self.config).bind(*self.arguments)
        return serve.RunTarget(target=app, name=self.name, route_prefix=self.route)


def _deploy(desired: Sequence[_Desired], apps: Mapping[str, ApplicationDetails]) -> None:
    """Hands Serve what differs from what it runs."""
    changed = [one.target() for one in desired if not one.is_deployed(apps.get(one.name))]
    if changed:
        serve.run_many(changed, wait_for_applications_running=False)


def _apps() -> dict[str, ApplicationDetails]:
    client = _get_global_client(raise_if_no_controller_running=False)
    return ServeInstanceDetails(**client.get_serve_details()).applications if client else {}


def _status(app: ApplicationDetails) -> ModelStatus:
    readiness = _READINESS.get(app.status, Readiness.STARTING)
    if readiness is Readiness.READY and app.route_prefix is None:
        readiness = Readiness.STARTING
    return ModelStatus(readiness, _running(app), app.message)


def _running(app: ApplicationDetails) -> int:
    return sum(replica.state == "RUNNING" for each in app.deployments.values() for replica in each.replicas)


def _model(spec: ServeSpec, token_sha256: str, now: ApplicationDetails | None) -> _Desired:
    fixed = _fingerprint(spec.name, spec.version, spec.digest, spec.folder, spec.threads, spec.seats)
    deployment = _deployment(ModelReplica, fixed).options(name=spec.name, **(_seated if spec.seats else _scaled)(spec))
    to_zero = spec.min_replicas == 0 and not spec.seats
    answers = now is not None and (_running(now) > 0 or (to_zero and now.route_prefix is not None))
    return _Desired(
        name=PREFIX + spec.name,
        route=f"/v2/models/{spec.name}" if answers else None,
        config={
            "token_sha256": token_sha256,
            "order": _fingerprint(fixed, spec.min_replicas, spec.max_replicas, spec.seated),
        },
        deployment=deployment,
        arguments=(spec.name, spec.version, spec.folder, spec.threads, spec.seats),
    )


def _scaled(spec: ServeSpec) -> dict[str, Any]:
    """Serve scales within the bounds."""
    autoscaling = AutoscalingConfig(
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        initial_replicas=max(spec.min_replicas, 1),
        target_ongoing_requests=ONGOING_TARGET,
    )
    return {"autoscaling_config": autoscaling}


def _seated(spec: ServeSpec) -> dict[str, Any]:
    """As many replicas as there are seats, on the nodes of these; a new version takes the seat of the old one. Serve
    wants at least one, which waits unplaced where there is no seat."""
    return {
        "num_replicas": max(spec.seated, 1),
        "max_surge_percent": 0,
        "health_check_period_s": 0.5,
        "ray_actor_options": {"num_cpus": 0},
    }


def _root(token_sha256: str, declared: list[str], version: str) -> _Desired:
    deployment = _deployment(RootReplica, version).options(name=ROOT)
    config = RootConfig(token_sha256=token_sha256, declared=declared, order=version)
    return _Desired(ROOT, "/v2", dict(config), deployment, (version,))


def _deployment(replica: type[ModelReplica] | type[RootReplica], version: str) -> serve.Deployment:
    """The class as a deployment: `version` decides whether a running replica is kept."""
    plain = cast(serve.Deployment, serve.deployment(serve.ingress()(replica)))
    return plain.options(
        version=version,
        max_ongoing_requests=ONGOING_MAX,
        max_surge_percent=100,
        graceful_shutdown_timeout_s=DRAIN_S,
        ray_actor_options={"num_cpus": 0, "resources": AT_HEAD},
        logging_config=_quiet(),
        _internal=True,
    )


def _check(spec: ServeSpec) -> None:
    if not 0 <= spec.min_replicas <= max(spec.max_replicas, 1) or spec.max_replicas < 1:
        what = f"Model '{spec.name}' cannot have {spec.min_replicas} to {spec.max_replicas} replicas"
        raise InvalidInput(what, remedy="Set 0 <= min_replicas <= max_replicas and max_replicas >= 1.")
    if not _NAME.fullmatch(spec.name):
        raise InvalidInput(f"'{spec.name}' cannot be a model's name", remedy="Use letters, digits, '-', '_' and '.'.")


def _fingerprint(*facts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _quiet() -> LoggingConfig:
    return LoggingConfig(enable_access_log=False)
