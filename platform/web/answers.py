"""Answers and refusals: every success a struct as JSON, every failure `{"error": {code, message, remedy}}`."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable
from ..wire.api.answer import ErrorAnswer, Problem
from .seams import Refused


class TooLarge(HeadwaterError):
    """The body is over the bound of its route."""


STATUS: Final[dict[type[HeadwaterError], tuple[int, str]]] = {
    InvalidInput: (400, "invalid_input"),
    TooLarge: (413, "too_large"),
    NotFound: (404, "not_found"),
    Conflict: (409, "conflict"),
    Unavailable: (503, "unavailable"),
}
REFUSAL_STATUS: Final = {
    "not_found": 404,
    "unknown_flow": 404,
    "unknown_run": 404,
    "bad_parameters": 422,
    "bad_labels": 422,
    "invalid_input": 400,
    "unavailable": 503,
}

log = logging.getLogger(__name__)


class JsonAnswer(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=msgspec.to_builtins)


def failure(status: int, problem: Problem) -> JsonAnswer:
    headers = {"Retry-After": "1"} if status == 503 else None
    return JsonAnswer(ErrorAnswer(error=problem), status, headers)


def refusal(refused: Refused, *, status: int | None = None) -> JsonAnswer:
    """An owner's no. `status` where the route has one for every refusal."""
    chosen = status or REFUSAL_STATUS.get(refused.code, 409)
    return failure(chosen, Problem(code=refused.code, message=refused.reason))


def of_error(error: HeadwaterError) -> JsonAnswer:
    status, code = next((found for kind, found in STATUS.items() if isinstance(error, kind)), (500, "internal"))
    return failure(status, Problem(code=code, message=error.what, remedy=error.remedy))


def install(app: FastAPI) -> None:
    app.add_exception_handler(HeadwaterError, _headwater)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _headwater(_: Request, error: Exception) -> Response:
    assert isinstance(error, HeadwaterError)
    return of_error(error)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    problem = Problem(
        code="invalid_input",
        message=f"'{field}' is {first.get('input')!r}: {first['msg']}",
        remedy="See /docs for what it takes.",
    )
    return failure(400, problem)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = f"{request.method} {request.url.path}: {error.detail}"
    code = codes.get(error.status_code, "http")
    return failure(error.status_code, Problem(code=code, message=message, remedy="See /docs for the routes."))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    remedy = "This is a fault of Headwater; the log of the process `web` has the details."
    return failure(500, Problem(code="internal", message=f"{type(error).__name__}: {error}", remedy=remedy))
