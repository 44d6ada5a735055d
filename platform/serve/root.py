"""The app at `/v2`: what belongs to no single model, and the word on models that cannot answer themselves.

Requests reach it where no longer route matches: for health and metadata, and for a model that is not there.
It is told which models are declared; a declared one that ends up here is one whose replicas are not up.
"""

from __future__ import annotations

from typing import TypedDict

from ..errors import NotFound, Unavailable, did_you_mean
from ..wire import v2
from .asgi import Answer, App, Request, check_token

SERVER = "headwater"


class RootConfig(TypedDict):
    """What is pushed to the running app; a change needs no restart."""

    token_sha256: str
    declared: list[str]
    order: str


class RootReplica:
    """Answers below `/v2`, models that are served excepted."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._config = RootConfig(token_sha256="", declared=[], order="")

    def reconfigure(self, config: RootConfig) -> None:
        self._config = config

    def __serve_build_asgi_app__(self) -> App:
        return App(self.answer)

    async def answer(self, request: Request) -> Answer:
        """Health to anyone, the rest to those who bear the token.

        Ready means that Serve routes requests; whether a model is ready is asked at the model.
        """
        if request.path in ("/health/live", "/health/ready") and request.method == "GET":
            return Answer(v2.encode_health(live=True, ready=True))
        check_token(request, self._config["token_sha256"])
        if request.path == "" and request.method == "GET":
            return Answer(v2.encode_server_metadata(SERVER, self._version))
        parts = request.path.split("/")
        if parts[1:2] == ["models"] and len(parts) > 2:
            raise self._absent(parts[2])
        raise NotFound(f"There is nothing at '/v2{request.path}'", remedy="Models answer at /v2/models/NAME.")

    def _absent(self, name: str) -> NotFound | Unavailable:
        declared = self._config["declared"]
        if name in declared:
            return Unavailable(f"Model '{name}' is not ready", remedy="Its replicas are starting; ask again soon.")
        return NotFound(f"There is no model '{name}'", remedy=did_you_mean(name, declared))
