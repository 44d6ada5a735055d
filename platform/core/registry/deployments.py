"""What should be served under each model's name, and how it stands.

    apply ──► REQUESTED ──► READY | FAILED        remove ──► STOPPED
                  ▲── Serve begins anew ┘

Only the Deployer's word on the version that is wanted now counts. `deployment.requested` with no replicas at
most asks for the end of the deployment.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import did_you_mean
from ...wire.calls import Order
from ...wire.entries.events import CommandDone, CommandRefused
from ...wire.entries.models import DeploymentFailed, DeploymentReady, DeploymentRequested
from ...wire.terms import JSON
from ..gpu_messages import WHOLE
from ..inventory import Deployment, DeploymentState, ModelVersion
from ..turn import Turn
from . import messages as m
from .state import Replicas, Speaker, State, refuse, say

TIERS: Final = (0, 1, 2, 3, 4)

replace = msgspec.structs.replace


class Apply(msgspec.Struct, frozen=True):
    """The data of `deployment.apply`. Without a version the newest is meant."""

    name: str
    version: int | None = None
    replicas_min: int | None = None
    replicas_max: int | None = None
    gpus_milli: int | None = None
    gpu_model: str | None = None
    tier: int | None = None


def apply(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    try:
        wanted = msgspec.convert(data, Apply)
    except msgspec.ValidationError as error:
        return refuse(order, "bad_command", f"It takes {', '.join(Apply.__struct_fields__)}: {error}")
    newest = state.newest.get(wanted.name)
    row = newest if wanted.version is None else state.versions.get((wanted.name, wanted.version))
    if newest is None:
        remedy = did_you_mean(wanted.name, state.newest)
        return refuse(order, "not_found", f"There is no model {wanted.name!r}. {remedy}".strip())
    if row is None:
        reason = f"Model {wanted.name!r} has no version {wanted.version}; its newest is {newest.version}"
        return refuse(order, "not_found", reason)
    replicas = replicas_of(data, _bounds_now(state, wanted.name))
    if isinstance(replicas, str):
        return refuse(order, "bad_replicas", replicas)
    unchanged = _stands(state.deployments.get(row.name), row, replicas)
    if not unchanged:
        request(state, turn, row, replicas, order.principal)
    return CommandDone(command=order.id, result={"name": row.name, "version": row.version, "unchanged": unchanged})


def remove(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    """The name is served no longer; its row stays, STOPPED."""
    name = str(data.get("name", ""))
    row = state.deployments.get(name)
    if row is None:
        remedy = did_you_mean(name, state.deployments)
        return refuse(order, "not_found", f"There is no deployment {name!r}. {remedy}".strip())
    unchanged = row.state is DeploymentState.STOPPED
    if not unchanged:
        state.deployments.put(name, replace(row, state=DeploymentState.STOPPED, reason="", url="", ready_us=None))
        _say_requested(turn, row, Replicas(0, 0), order.principal)
    return CommandDone(command=order.id, result={"name": name, "unchanged": unchanged})


def replicas_of(given: JSON, otherwise: Replicas) -> Replicas | str:
    """What `given` names, the rest from `otherwise`; text says what is wrong with it."""
    said = given if isinstance(given, dict) else {}
    least, most = said.get("replicas_min"), said.get("replicas_max")
    least = otherwise.least if least is None else least
    most = max(otherwise.most, least if isinstance(least, int) else 0) if most is None else most
    if not (isinstance(least, int) and isinstance(most, int) and 0 <= least <= most and most >= 1):
        return f"{least!r} to {most!r} is no range of replicas. Give 0 <= replicas_min <= replicas_max >= 1"
    asked = {name: said[name] for name in ("gpus_milli", "gpu_model", "tier") if said.get(name) is not None}
    replicas = replace(otherwise, least=least, most=most, **asked)
    return _wrong_with_lease(replicas) or replicas


def _wrong_with_lease(asked: Replicas) -> str:
    milli = asked.gpus_milli
    if isinstance(milli, bool) or not isinstance(milli, int) or milli < 0 or (milli > WHOLE and milli % WHOLE):
        return f"gpus_milli is {milli!r}. Give thousandths of a GPU: a part of one up to 1000, or whole ones"
    if isinstance(asked.tier, bool) or asked.tier not in TIERS:
        return f"tier is {asked.tier!r}. Give 1 (matters most) to 4, or 0 for that of the project"
    if not isinstance(asked.gpu_model, str) or (not milli and (asked.gpu_model or asked.tier)):
        return f"gpu_model {asked.gpu_model!r} and tier {asked.tier!r} are of leased devices. Give gpus_milli too"
    return ""


def request(state: State, turn: Turn, row: ModelVersion, replicas: Replicas, principal: str) -> None:
    """The version is wanted under its name, whatever was wanted before."""
    deployment = Deployment(
        name=row.name,
        project=row.project,
        version=row.version,
        digest=row.digest,
        replicas_min=replicas.least,
        replicas_max=replicas.most,
        gpus_milli=replicas.gpus_milli,
        gpu_model=replicas.gpu_model,
        tier=replicas.tier,
        principal=principal,
        requested_us=turn.now_us,
    )
    state.deployments.put(row.name, deployment)
    _say_requested(turn, deployment, replicas, principal)


def became_ready(state: State, turn: Turn, event: m.BecameReady) -> None:
    """Answers whether the word still counts. Said again it changes nothing."""
    row = _wanted(state, event.name, event.version)
    turn.answer = row is not None
    if row is None or (row.state is DeploymentState.READY and row.url == event.url):
        return
    ready = replace(row, state=DeploymentState.READY, reason="", url=event.url, ready_us=turn.now_us)
    state.deployments.put(row.name, ready)
    body = DeploymentReady(name=row.name, version=row.version, url=event.url, duration_us=event.duration_us)
    say(turn, body, row.name, Speaker(row.project, row.principal))


def became_failed(state: State, turn: Turn, event: m.BecameFailed) -> None:
    row = _wanted(state, event.name, event.version)
    turn.answer = row is not None
    if row is None or (row.state is DeploymentState.FAILED and row.reason == event.reason):
        return
    state.deployments.put(row.name, replace(row, state=DeploymentState.FAILED, reason=event.reason, ready_us=None))
    body = DeploymentFailed(name=row.name, version=row.version, reason=event.reason)
    say(turn, body, row.name, Speaker(row.project, row.principal))


def serving_began(state: State, turn: Turn, event: m.ServingBegan) -> None:
    """What answered in an earlier life of Serve is asked for again. Said again it changes nothing."""
    for row in [row for row in state.deployments.values() if row.state is DeploymentState.READY]:
        again = replace(row, state=DeploymentState.REQUESTED, url="", ready_us=None, requested_us=turn.now_us)
        state.deployments.put(row.name, again)
        _say_requested(turn, again, _asked_by(row), row.principal)


def _wanted(state: State, name: str, version: int) -> Deployment | None:
    row = state.deployments.get(name)
    return row if row and row.version == version and row.state is not DeploymentState.STOPPED else None


def _bounds_now(state: State, name: str) -> Replicas:
    row = state.deployments.get(name)
    return _asked_by(row) if row else state.replicas


def _asked_by(row: Deployment) -> Replicas:
    return Replicas(row.replicas_min, row.replicas_max, row.gpus_milli, row.gpu_model, row.tier)


def _stands(deployment: Deployment | None, row: ModelVersion, replicas: Replicas) -> bool:
    if deployment is None or deployment.state not in (DeploymentState.REQUESTED, DeploymentState.READY):
        return False
    return deployment.version == row.version and _asked_by(deployment) == replicas


def _say_requested(turn: Turn, row: Deployment, replicas: Replicas, principal: str) -> None:
    body = DeploymentRequested(
        name=row.name,
        version=row.version,
        digest=row.digest,
        replicas_min=replicas.least,
        replicas_max=replicas.most,
        gpus_milli=replicas.gpus_milli,
        gpu_model=replicas.gpu_model,
        tier=replicas.tier,
    )
    say(turn, body, row.name, Speaker(row.project, principal))
