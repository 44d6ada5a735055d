"""Calling a step's function with arguments that came as bytes, and sending back what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .serialise import dumps, loads


def invoke(function: Callable[..., Any], arguments: bytes, resolve: Callable[[int], object]) -> bytes:
    """The pickled result. Whatever the function raises passes through; a result that cannot be sent is InvalidInput."""
    args, kwargs = loads(arguments, resolve)
    return dumps(function(*args, **kwargs), place="The step's result").content
