"""A replica: one model version behind HTTP.

Small requests are computed on the loop itself, which costs less than handing them to a thread; larger ones go to
threads, so that a long prediction holds up no short one. The token arrives as configuration and changes without
a restart. One that leases devices first takes a seat on its node, and ends when it is told to leave it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..actors.work.device_view import show
from ..errors import InvalidInput, NotFound, Unavailable
from ..models.runtimes import load
from ..wire import v2
from .asgi import Answer, App, Request, check_token
from .seat import TakenSeat, take

INLINE_BYTES_MAX = 16 << 10
THREADS_MAX = 2
LOOK_EVERY_S = 0.1
LEAVE_WITHIN_S = 4.0
PLATFORMS = {"onnx": "onnx_onnxv1"}


log = logging.getLogger(__name__)


class ModelReplica:
    """Answers below `/v2/models/NAME` for one version. With `seats`, the folder of its deployment's, it waits there for
    one that is free, sees the devices of that lease alone, and leaves with it."""

    async def __init__(self, name: str, version: str, folder: str, threads: int, seats: str = "") -> None:  # type: ignore[misc]  # Serve awaits it
        self._seat = await _seated(Path(seats)) if seats else None
        self._name, self._version = name, version
        self._runtime, document = load(Path(folder), threads=threads, devices=bool(self._seat and self._seat.devices))
        self._platform = PLATFORMS.get(document.runtime, document.runtime)
        self._token_sha256 = ""
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="predict")
        self._leaving = asyncio.get_running_loop().create_task(_leave(self._seat)) if self._seat is not None else None

    def check_health(self) -> None:
        """Serve ends a replica that raises, and no longer sends it requests."""
        if self._seat is not None and self._seat.is_told_to_leave():
            raise Unavailable(f"The lease of this replica of {self._name!r} makes way for another")

    def reconfigure(self, config: dict[str, str]) -> None:
        """Takes the hash of the token that requests must bear."""
        self._token_sha256 = config["token_sha256"]

    def __serve_build_asgi_app__(self) -> App:
        return App(self.answer)

    async def answer(self, request: Request) -> Answer:
        """The answer to one request; raises what `asgi.App` turns into an error document."""
        action = self._action(request.path)
        if action == "ready" and request.method == "GET":
            return Answer(v2.encode_health(live=True, ready=True))
        check_token(request, self._token_sha256)
        if action == "" and request.method == "GET":
            signature = self._runtime.signature
            return Answer(v2.encode_model_metadata(self._name, [self._version], self._platform, signature))
        if action == "infer" and request.method == "POST":
            return await self._infer(request)
        if action in ("", "ready", "infer"):
            allowed = "POST" if action == "infer" else "GET"
            return Answer(v2.encode_error(f"{request.method} is not allowed here; send {allowed}"), 405)
        raise NotFound(f"There is nothing at '{request.path}' of model '{self._name}'", remedy=_PATHS)

    async def _infer(self, request: Request) -> Answer:
        if request.header(b"inference-header-content-length"):
            what = "The body holds binary tensors, which this server does not read"
            raise InvalidInput(what, remedy="Send JSON (in tritonclient: binary_data=False).")
        body = await request.body()
        if len(body) <= INLINE_BYTES_MAX:
            return self._predict(body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._predict, body)

    def _predict(self, body: bytes) -> Answer:
        request = v2.decode_request(body, self._runtime.signature)
        outputs = self._runtime.predict(request.inputs, request.outputs)
        return Answer(v2.encode_response(self._name, self._version, outputs, request_id=request.id))

    def _action(self, path: str) -> str:
        """What is asked for, with the version taken off the path."""
        parts = path.removeprefix("/").split("/")
        if parts[0] != "versions":
            return "/".join(parts)
        if len(parts) == 1 or parts[1] != self._version:
            asked = f"version '{parts[1]}'" if len(parts) > 1 else "a version"
            what = f"Model '{self._name}' does not serve {asked}"
            raise NotFound(what, remedy=f"It serves version '{self._version}'.")
        return "/".join(parts[2:])


async def _seated(folder: Path) -> TakenSeat:
    """A seat on this node, when there is one; from then on this process sees its devices alone."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    while (taken := take(folder, node)) is None:
        await asyncio.sleep(LOOK_EVERY_S)
    show(taken.seat.view)
    return taken


async def _leave(seat: TakenSeat) -> None:
    """Ends this process: at once where its lease is lost, and a moment after it was told to leave, since Serve may
    have others to ask by then."""
    while not (seat.is_told_to_leave() or seat.is_lost()):
        await asyncio.sleep(LOOK_EVERY_S)
    if not seat.is_lost():
        await asyncio.sleep(LEAVE_WITHIN_S)
    log.warning("This replica leaves its devices: its lease is over")
    os._exit(0)


_PATHS = "Known: GET /, GET /ready, POST /infer, and the same below /versions/VERSION."
