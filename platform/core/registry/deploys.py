"""Code in: one version, its flows, and a word for each flow. Refused whole where any of it cannot be used."""

from __future__ import annotations

from typing import Any

import msgspec

from ...wire.calls import Order
from ...wire.entries.events import CommandDone, CommandRefused
from ...wire.entries.models import FlowDeployed
from ...wire.manifest import FlowSpec, Manifest
from ...wire.terms import JSON
from ..inventory import CodeVersion, FlowRow
from ..turn import Turn
from .manifests import fault_of, full_name
from .state import Speaker, State, refuse, say


class Code(msgspec.Struct, frozen=True):
    """The data of `code.deploy`: the version, the digest of its tree artifact, and what importing it declared."""

    version: str
    bundle: str
    manifest: Manifest
    provenance: JSON = None


def deploy(state: State, turn: Turn, order: Order, data: dict[str, Any]) -> CommandDone | CommandRefused:
    """New runs of the flows take this version. A version that all its flows run already changes nothing."""
    try:
        code = msgspec.convert(data, Code)
    except msgspec.ValidationError as error:
        return refuse(order, "bad_manifest", f"This is no deployed code: {error}. Send it with `headwater deploy`")
    fault = fault_of(code.manifest, state.known())
    if fault is not None:
        return refuse(order, fault.code, fault.reason)
    unchanged = all(_runs(state, flow) == code.version for flow in code.manifest.flows)
    if not unchanged:
        _take(state, turn, order, code)
    flows = [full_name(flow) for flow in code.manifest.flows]
    return CommandDone(command=order.id, result={"code_version": code.version, "flows": flows, "unchanged": unchanged})


def _runs(state: State, flow: FlowSpec) -> str:
    row = state.flows.get((flow.project, flow.name))
    return row.code_version if row else ""


def _take(state: State, turn: Turn, order: Order, code: Code) -> None:
    version = CodeVersion(
        version=code.version,
        bundle=code.bundle,
        manifest=msgspec.to_builtins(code.manifest),
        provenance=code.provenance,
        principal=order.principal,
        deployed_us=turn.now_us,
    )
    state.code.put(code.version, version)
    for flow in code.manifest.flows:
        spec = msgspec.to_builtins(flow)
        row = FlowRow(
            project=flow.project,
            name=flow.name,
            code_version=code.version,
            manifest=spec,
            principal=order.principal,
            deployed_us=turn.now_us,
        )
        state.flows.put((flow.project, flow.name), row)
        body = FlowDeployed(flow=flow.name, code_version=code.version, manifest={"spec": spec, "bundle": code.bundle})
        say(turn, body, full_name(flow), Speaker(flow.project, order.principal))
