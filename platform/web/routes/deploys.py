"""Code in: a gzipped tar of a folder, imported in a process of its own, kept, and handed to the Registry."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from ...artifacts.files import Files
from ...core.registry.deploys import Code
from ...sdk.deploying.bundle import code_version, unpack, unpacked
from ...sdk.deploying.manifest import manifest_of
from ...sdk.deploying.provenance import taken_from
from ...sdk.problem import Problem
from ...wire.api.answer import Problem as Shown
from ...wire.api.models import Deployed
from ..answers import JsonAnswer, failure, refusal
from ..openapi import answers, takes_bytes
from ..requests import body_of, pending, place, platform_of
from ..seams import Refused

router = APIRouter(prefix="/v1/deploys", tags=["deploys"])


@router.post("", responses=answers(Deployed), openapi_extra=takes_bytes("application/gzip"))
async def deploy(request: Request) -> Response:
    """Takes the code of flows. 422 with file, line and what was meant, where it cannot be used."""
    platform = platform_of(request)
    body = await body_of(request, at_most=platform.settings.deploy_max_bytes)
    spool = platform.settings.home / "spool"
    try:
        packed = await asyncio.to_thread(keep, body, platform.files, spool)
    except Problem as problem:
        return failure(422, _shown(problem))
    command, answer = await place(request, "code.deploy", msgspec.to_builtins(packed))
    if answer is None:
        return JsonAnswer(pending(command), 202)
    if isinstance(answer, Refused):
        return refusal(answer, status=422)
    flows = tuple(f"{flow.project}/{flow.name}" for flow in packed.manifest.flows)
    return JsonAnswer(Deployed(code_version=packed.version, flows=flows, command=command))


def keep(body: bytes, files: Files, spool: Path) -> Code:
    """Unpacks, imports and stores. Blocking. Raises Problem where the code cannot be imported."""
    spool.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=spool, prefix="deploy-") as name:
        folder = unpack(body, Path(name) / "code").folder
        provenance = taken_from(folder)
        bundle = unpacked(folder)
        manifest = manifest_of(bundle.folder)
        digest = files.put_tree(bundle.folder, bundle.names)
        return Code(code_version(bundle), digest, manifest, msgspec.to_builtins(provenance))


def _shown(problem: Problem) -> Shown:
    return Shown(
        code="bad_code",
        message=str(problem.what),
        remedy=problem.remedy,
        file=problem.file,
        line=problem.line,
        frames=problem.frames,
    )
