"""Calling a step's function with arguments that came from its flow, and keeping what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...artifacts.encoded import Encoded
from ..wrappers import run_wrapped
from .serialise import encode


def invoke(function: Callable[..., Any], arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Encoded:
    """The encoded result. Whatever the function raises passes through; a result that cannot be sent is InvalidInput."""
    args, kwargs = arguments
    value = run_wrapped(lambda: function(*args, **kwargs))
    return encode(value, place="The step's result")
