"""A replica: one model version behind HTTP.

Small requests are computed on the loop itself, which costs less than handing them to a thread; larger ones go to
threads, so that a long prediction holds up no short one. The token arrives as configuration and changes without
a restart.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import InvalidInput, NotFound
from ..models.runtimes import load
from ..wire import v2
from .asgi import Answer, App, Request, check_token

INLINE_BYTES_MAX = 16 << 10
THREADS_MAX = 2
PLATFORMS = {"onnx": "onnx_onnxv1"}


class ModelReplica:
    """Answers below `/v2/models/NAME` for one version."""

    def __init__(self, name: str, version: str, folder: str, threads: int) -> None:
        self._name, self._version = name, version
        self._runtime, document = load(Path(folder), threads=threads)
        self._platform = PLATFORMS.get(document.runtime, document.runtime)
        self._token_sha256 = ""
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="predict")

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


_PATHS = "Known: GET /, GET /ready, POST /infer, and the same below /versions/VERSION."
