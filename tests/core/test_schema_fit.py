"""The quick word on a schema agrees with jsonschema wherever it says yes."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.schema_fit import first_error, quick_check

NAMES = st.sampled_from("ab")
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | NAMES
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=4
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])


def words(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "enum": st.lists(SCALARS, min_size=1, max_size=3),
            "minimum": st.integers(-1, 1),
            "prefixItems": st.lists(inner, min_size=1, max_size=1),
            "patternProperties": st.dictionaries(NAMES, inner, max_size=1),
            "title": st.just("Anything"),
        },
    )


SCHEMAS = st.recursive(st.builds(lambda kind: {"type": kind}, TYPES), words, max_leaves=5)


@given(schema=SCHEMAS, value=VALUES)
def test_a_value_fits_where_jsonschema_says_so(schema: Any, value: Any) -> None:
    wanted = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(value)), None)
    found = first_error(schema, value)
    assert (found and found.message) == (wanted and wanted.message)


def test_what_a_flow_asks_for_needs_no_other_word() -> None:
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date", "title": "Day"},
            "rounds": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "rates": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["day"],
    }
    quick = quick_check(schema)
    assert quick is not None
    assert quick({"day": "2026-01-31", "rounds": 3, "rates": [0.1, 1]})
    assert not quick({"rounds": 3})
    assert not quick({"day": "2026-01-31", "rounds": True})


def test_a_schema_with_another_word_is_left_to_jsonschema() -> None:
    assert quick_check({"type": "integer", "minimum": 3}) is None
    error = first_error({"type": "integer", "minimum": 3}, 2)
    assert error is not None
    assert error.message == "2 is less than the minimum of 3"
