"""CEL, bounded: what an expression says about an event, or why it cannot say it.

An expression has a bounded text, and its evaluation a bounded cost, told from both before it begins: a macro
visits each item of a list (`map` and `filter` copy what they have so far each time), macros multiply, and `+`
makes texts and lists longer. A clock would stop the same event on one machine and not on another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import cel
import msgspec

TEXT_MAX_CHARS: Final = 4_096
STEPS_MAX: Final = 250_000  # some tenths of a second at most
_TEXT_A_STEP: Final = 1_024  # so many characters are as dear as a step
_VISITS: Final = re.compile(r"\b(?:all|exists|exists_one)\b")
_COPIES: Final = re.compile(r"\b(?:map|filter)\b")


class Failed(msgspec.Struct, frozen=True):
    """Why an expression gave no value."""

    reason: str


def evaluate(expression: str, seen: Mapping[str, Any]) -> Any | Failed:
    """The value of `expression` over what it may see, in the form that JSON has for it."""
    if problem := problem_of(expression):
        return Failed(problem)
    steps = _steps(expression, seen)
    if steps > STEPS_MAX:
        return Failed(f"it may take {steps:,} steps over this event; {STEPS_MAX:,} are allowed")
    try:
        value = _program(expression).execute(dict(seen))
        return msgspec.json.decode(msgspec.json.encode(value))
    except Exception as error:  # the evaluator raises whatever its evaluation met
        return Failed(f"{type(error).__name__}: {_first_sentence(str(error))}")


def _first_sentence(message: str) -> str:
    """What went wrong; the evaluator goes on with what it commonly comes from, in general."""
    return message.partition(". ")[0].strip().rstrip(".")


def problem_of(expression: str) -> str:
    """Why the text is no expression that could be used; empty where it is one."""
    if len(expression) > TEXT_MAX_CHARS:
        return f"it has {len(expression):,} characters; at most {TEXT_MAX_CHARS:,} are allowed"
    if _steps(expression, {}) > STEPS_MAX:
        return f"it may take more than {STEPS_MAX:,} steps over any event; use fewer macros"
    try:
        _program(expression)
    except ValueError as error:
        return f"it is no CEL ({' '.join(str(error).split())})"
    return ""


@lru_cache(maxsize=1024)
def _program(expression: str) -> cel.Program:
    return cel.compile(expression)


def _steps(expression: str, seen: Mapping[str, Any]) -> int:
    """No evaluation takes more. Words in texts count as if they were macros: rather too many than too few."""
    items, chars = _extent(list(seen.values()))
    growth = expression.count("+") + 1
    longest = max(items, expression.count(",") + 1) * growth
    exponent = len(_VISITS.findall(expression)) + 2 * len(_COPIES.findall(expression))
    steps: int = (1 + chars // _TEXT_A_STEP) * growth * min(longest, STEPS_MAX) ** min(exponent, 64)
    return steps


def _extent(value: Any) -> tuple[int, int]:
    """The number of items of the largest list or object in it, and the characters of the longest text."""
    items, chars, rest = 0, 0, [value]
    while rest:
        one = rest.pop()
        if isinstance(one, str | bytes):
            chars = max(chars, len(one))
        elif isinstance(one, Mapping | list | tuple):
            items = max(items, len(one))
            rest.extend(one.values() if isinstance(one, Mapping) else one)
    return items, chars
