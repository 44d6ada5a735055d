"""The HTTP API as one ASGI app, made from the parts it stands on."""

from __future__ import annotations

from collections import Counter

from fastapi import FastAPI
from starlette.types import ASGIApp

from . import answers, manual, openapi
from .bearer import Bearer
from .direct import Lines
from .metrics import RequestCount
from .routes import (
    artifacts,
    commands,
    deploys,
    events,
    health,
    hooks,
    inventory,
    letters,
    quota,
    runs,
    streams,
    tables,
    triggers,
)
from .seams import Platform

ROUTERS = (
    health.router,
    events.router,
    hooks.router,
    runs.router,
    streams.router,
    inventory.router,
    quota.router,
    triggers.router,
    letters.router,
    commands.router,
    deploys.router,
    tables.router,
    artifacts.router,
)
DESCRIPTION = """\
Publish an event and a flow runs; watch it; call the model it made.

Times are microseconds UTC. Listings are pages: `after=` takes the `next` of the page before. Every failure is
`{"error": {"code", "message", "remedy"}}`. Every `/v1` call needs `Authorization: Bearer TOKEN`, the content of
the file `token` in the home folder. Inference (`/v2`) is another address: see `inference_url` in `/v1/status`.
"""


def build(platform: Platform) -> ASGIApp:
    version = platform.settings.version
    app = FastAPI(title="Headwater", version=version, description=DESCRIPTION, docs_url=None, redoc_url=None)
    app.state.platform = platform
    app.state.requests = Counter()
    answers.install(app)
    openapi.install(app)
    manual.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return Lines(RequestCount(Bearer(app, platform.settings.token), app.state.requests))
