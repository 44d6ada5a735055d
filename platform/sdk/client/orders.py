"""What changes the platform: deploys of code, and commands to its owners."""

from __future__ import annotations

from pathlib import Path

from ...wire.api.commands import CommandView, PostOrder
from ...wire.api.models import Deployed
from ...wire.terms import JSON
from .call import Call, Program, ask, post
from .ids import new_id


def order(kind: str, data: JSON) -> Program[CommandView]:
    return post("/v1/orders", PostOrder(kind=kind, data=data, id=new_id()), CommandView)


def deploy(path: str | Path) -> Program[Deployed]:
    from ..deploying import bundle, provenance

    packed = bundle.pack(bundle.bundle_of(Path(path)), provenance.beside(Path(path)))
    return ask(Call("POST", "/v1/deploys", {"Content-Type": "application/gzip"}, packed), Deployed)
