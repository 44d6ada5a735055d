"""Whether a value fits a JSON Schema: told at once for the schemas that most are, by jsonschema for the rest.

The quick word is compiled once for a schema object and knows types, properties, required, additionalProperties,
items, anyOf and enums of texts. It says yes only where jsonschema would; wherever it does not, jsonschema is asked,
which also finds the words for what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]

from ..wire.terms import JSON

Check = Callable[[Any], bool]
KNOWN_MAX: Final = 4_096
_SILENT: Final = frozenset({"title", "description", "default", "examples", "format", "deprecated", "$schema", "$id"})
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def first_error(schema: JSON, value: Any) -> Any | None:
    """What jsonschema finds wrong first (its `ValidationError`), or None where the value fits."""
    quick, validator = _compiled(_Same(schema))
    if quick is not None and quick(value):
        return None
    return next(iter(validator.iter_errors(value)), None)


def without_required(schema: JSON) -> JSON:
    """The same schema, for a part of the value; the same object for the same schema."""
    return _relaxed(_Same(schema))


class _Same:
    """A schema by its identity: it is a dictionary that nobody changes, and the cache keeps it alive."""

    __slots__ = ("schema",)

    def __init__(self, schema: JSON) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema


@lru_cache(maxsize=KNOWN_MAX)
def _compiled(same: _Same) -> tuple[Check | None, Any]:
    return quick_check(same.schema), jsonschema.Draft202012Validator(same.schema)


@lru_cache(maxsize=KNOWN_MAX)
def _relaxed(same: _Same) -> JSON:
    return {**same.schema, "required": []}


def quick_check(schema: JSON) -> Check | None:
    """A check that never says yes where jsonschema says no; None where the schema has a word it does not know."""
    if not isinstance(schema, dict):
        return None
    checks: list[Check] = []
    for word, said in schema.items():
        if word in _SILENT:
            continue
        check = _WORDS[word](said, schema) if word in _WORDS else None
        if check is None:
            return None
        checks.append(check)
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


def _type(said: Any, _: JSON) -> Check | None:
    names = said if isinstance(said, list) else [said]
    if not all(isinstance(name, str) and name in _TYPES for name in names):
        return None
    types = frozenset(kind for name in names for kind in _TYPES[name])
    return lambda value: type(value) in types  # exactly: true is no integer


def _properties(said: Any, _: JSON) -> Check | None:
    known = {name: quick_check(schema) for name, schema in said.items()}
    checks = {name: check for name, check in known.items() if check is not None}
    if len(checks) < len(known):
        return None

    def fit(value: Any) -> bool:
        if type(value) is not dict:
            return False
        return all(check(value[name]) for name, check in checks.items() if name in value)

    return fit


def _required(said: Any, _: JSON) -> Check:
    names = frozenset(said)
    return lambda value: type(value) is dict and names <= value.keys()


def _additional(said: Any, schema: JSON) -> Check | None:
    if "patternProperties" in schema:
        return None
    known = frozenset(schema.get("properties", ()))
    rest = quick_check(said) if isinstance(said, dict) else None
    if said is True:
        return lambda _: True
    if said is not False and rest is None:
        return None

    def fit(value: Any) -> bool:
        if type(value) is not dict:
            return False
        return all(name in known or (rest is not None and rest(one)) for name, one in value.items())

    return fit


def _items(said: Any, schema: JSON) -> Check | None:
    check = None if "prefixItems" in schema else quick_check(said)
    return None if check is None else lambda value: type(value) is list and all(map(check, value))


def _any_of(said: Any, _: JSON) -> Check | None:
    checks = [check for check in map(quick_check, said) if check is not None]
    return (lambda value: any(check(value) for check in checks)) if checks else None


def _enum(said: Any, _: JSON) -> Check:
    texts = frozenset(one for one in said if isinstance(one, str))
    return lambda value: type(value) is str and value in texts


_WORDS: Final[Mapping[str, Callable[[Any, JSON], Check | None]]] = {
    "type": _type,
    "properties": _properties,
    "required": _required,
    "additionalProperties": _additional,
    "items": _items,
    "anyOf": _any_of,
    "enum": _enum,
}
