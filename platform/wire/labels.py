"""Labels: a few short words by name that a run carries, given by whoever starts it, its trigger and its flow.

Runs, their entries and their messages are found by them: `team=eta`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..errors import InvalidInput

LABELS_MAX: Final = 16
NAME_MAX_CHARS: Final = 63
VALUE_MAX_CHARS: Final = 120
HEADER: Final = "hwlabels"  # the Kafka header, JSON, of what is published about a run that has some

Labels = dict[str, str]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REMEDY: Final = (
    f"A label is NAME=VALUE: up to {NAME_MAX_CHARS} letters, digits and _ . / -, then 1 to {VALUE_MAX_CHARS} characters"
)


def problem_of(labels: Any) -> str:
    """What is wrong with labels that somebody gave; empty where nothing is."""
    if not isinstance(labels, Mapping):
        return f"labels are {_shown(labels)}, not an object of texts"
    if len(labels) > LABELS_MAX:
        return f"{len(labels)} labels are too many: {LABELS_MAX} is the bound"
    for name, value in labels.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return f"{_shown(name)} is no name of a label"
        if not isinstance(value, str) or not 0 < len(value) <= VALUE_MAX_CHARS or _CONTROL.search(value):
            return f"label {name!r} is {_shown(value)}, not a text of 1 to {VALUE_MAX_CHARS} characters"
    return ""


def checked(labels: Mapping[str, str] | None) -> Labels:
    """The labels as they are kept; raises InvalidInput."""
    if problem := problem_of(labels or {}):
        raise InvalidInput(problem[0].upper() + problem[1:], remedy=_REMEDY)
    return dict(labels or {})


def labels_of(texts: Iterable[str]) -> Labels:
    """NAME=VALUE, several times, as labels; raises InvalidInput."""
    found: Labels = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"{text[:80]!r} is no label", remedy=_REMEDY)
        found[name] = value
    return checked(found)


def carries(labels: Mapping[str, str] | None, wanted: Iterable[tuple[str, str]]) -> bool:
    """Whether all that is `wanted` is among the labels."""
    return all((labels or {}).get(name) == value for name, value in wanted)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
