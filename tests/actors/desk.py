"""A Conductor's desk in this process, which keeps what hosts and workers say and answers as it is told."""

import asyncio
from pathlib import Path
from typing import Any

from headwater.artifacts.files import Files
from headwater.sdk.running.serialise import dumps
from headwater.wire.calls import (
    AttemptOrder,
    Command,
    Effect,
    Payload,
    PinnedModel,
    PinnedTable,
    Progress,
    Rendezvous,
    RunEnd,
    RunOrder,
)
from headwater.wire.terms import Failure

VERSION = "v" * 64


class Desk:
    def __init__(self) -> None:
        self.issued: asyncio.Queue[Command] = asyncio.Queue()
        self.ends: asyncio.Queue[RunEnd] = asyncio.Queue()
        self.heard: asyncio.Queue[Progress] = asyncio.Queue()
        self.parked: asyncio.Queue[list[int]] = asyncio.Queue()
        self.checkpoints: asyncio.Queue[Payload] = asyncio.Queue()
        self.claims: list[int] = []
        self.refusal = ""

    async def issue(self, run_id: str, fence: int, commands: list[Command]) -> str:
        for command in commands:
            self.issued.put_nowait(command)
        return self.refusal

    async def park(self, run_id: str, fence: int, waits: list[int]) -> str:
        self.parked.put_nowait(waits)
        return self.refusal

    async def checkpoint(self, fence: int, worker: str, state: Payload) -> str:
        self.checkpoints.put_nowait(state)
        return self.refusal

    async def ended(self, end: RunEnd) -> str:
        self.ends.put_nowait(end)
        return ""

    async def pin(self, run_id: str, kind: str, name: str) -> PinnedTable | PinnedModel | Failure:
        return Failure(kind="exception", message=f"there is no {kind} {name}")

    async def claim(self, fence: int, worker: str, secret: str) -> str:
        self.claims.append(fence)
        return self.refusal

    async def join(self, fence: int, worker: str, secret: str, address: str) -> Rendezvous:
        self.claims.append(fence)
        return Rendezvous(address=address, refused=self.refusal)

    async def progress(self, items: list[Progress]) -> None:
        for item in items:
            self.heard.put_nowait(item)


def bundled(home: Path, folder: Path, name: str, text: str) -> str:
    """The digest of a bundle with one module."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / f"{name}.py").write_text(text)
    return Files(home / "artifacts").put_tree(source)


def attempt(
    bundle: str,
    function: str,
    *arguments: object,
    fence: int = 1,
    effect: Effect = "retry",
    timeout_s: float | None = None,
    **more: Any,
) -> AttemptOrder:
    return AttemptOrder(
        fence=fence,
        run_id="run",
        step_id="run/0",
        ordinal=0,
        name=function.partition(":")[2],
        attempt=fence,
        project="p",
        principal="tester",
        function=function,
        code_version=VERSION,
        bundle=bundle,
        arguments=Payload(inline=dumps((arguments, {}), place="x").content),
        effect=effect,
        timeout_s=timeout_s,
        **more,
    )


def run_order(bundle: str, function: str, *, fence: int = 1, parameters: object = None) -> RunOrder:
    return RunOrder(
        run_id="run",
        fence=fence,
        project="p",
        flow="made",
        function=function,
        code_version=VERSION,
        bundle=bundle,
        parameters=parameters or {},
        principal="tester",
        secret="",
    )
