"""What a run can be found by beside its columns: its parameters, its labels, the words of what it failed of.

A term is one text; a run's terms are rows of `run_terms`, so that a search is one walk along an index on
either database, from the newest run back. They follow from the run alone and are written with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ..core.records.runs import Run
from ..wire.terms import JSON, Failure

PARAMETERS_MAX: Final = 32
VALUE_MAX: Final = 200
WORDS_MAX: Final = 64
REMEMBERED_MAX: Final = 100_000
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_WORD: Final = re.compile(r"[\w.]+")

Row = tuple[str, str]


def parameter_term(name: str, value: JSON) -> str:
    """A number and the text that looks like it are one: who searches types text."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"parameter:{name[:VALUE_MAX]}={text[:VALUE_MAX]}"


def label_term(name: str, value: str) -> str:
    return f"label:{name}={value}"


def word_term(word: str) -> str:
    return f"error:{word.lower()[:VALUE_MAX]}"


def words(text: str) -> list[str]:
    """The words of a text in order, without a full stop at an end."""
    return [found for each in _WORD.findall(text) if (found := each.strip("."))]


def terms_of(parameters: JSON, failure: Failure | None, labels: Mapping[str, str] = _NONE) -> Iterator[str]:
    """The labels, at most 32 parameters, whose values are no lists or objects, and 64 different words of a failure."""
    for name, text in labels.items():
        yield label_term(name, text)
    if isinstance(parameters, dict):
        for name, value in list(parameters.items())[:PARAMETERS_MAX]:
            if not isinstance(value, dict | list):
                yield parameter_term(name, value)
    if failure is not None:
        said = words(f"{failure.kind} {failure.cause_type} {failure.step} {failure.message}")
        yield from list(dict.fromkeys(map(word_term, said)))[:WORDS_MAX]


class Indexed:
    """The rows of terms that a writer still owes. What it has forgotten it writes again, to no effect."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}

    def owed(self, runs: Iterable[Any]) -> list[Row]:
        rows: list[Row] = []
        run: Run | None
        for run in runs:
            if run is None or self._done.get(run.id) is (run.failure is not None):
                continue
            self._done[run.id] = run.failure is not None
            rows += [(run.id, term) for term in terms_of(run.parameters, run.failure, run.labels)]
        if len(self._done) > REMEMBERED_MAX:
            self.forget()
        return rows

    def forget(self) -> None:
        """After a commit in doubt, too."""
        self._done.clear()


def terms_of_columns(parameters: str | None, failure: str | None) -> set[str]:
    """The terms of a row as it is stored."""
    known = None if parameters is None else msgspec.json.decode(parameters)
    return set(terms_of(known, None if failure is None else msgspec.json.decode(failure, type=Failure | None)))
