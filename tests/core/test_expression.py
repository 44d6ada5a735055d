"""CEL within bounds: a value, or why not; never an error, and never a wait."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.expression import Failed, evaluate, problem_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)
EXPRESSIONS = st.sampled_from(
    ["data", "data.a", "data.a > 1", "data.a + data.b", "has(data.a)", "data.exists(x, x == 1)", "data.map(x, [x])"]
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("data.rows", 3),
        ("data.day + '/' + string(data.rows)", "monday/3"),
        ("{'day': data.day, 'many': data.rows > 2}", {"day": "monday", "many": True}),
        ("data.days.map(day, day.size())", [2, 3]),
        ("timestamp('2026-01-01T00:00:00Z')", "2026-01-01T00:00:00Z"),
        ("has(data.missing) ? data.missing : null", None),
    ],
)
def test_a_value_has_the_form_that_json_has_for_it(expression: str, value: Any) -> None:
    assert evaluate(expression, {"data": {"day": "monday", "rows": 3, "days": ["mo", "tue"]}}) == value


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("data.missing", "missing"),
        ("data.rows >", "no CEL"),
        ("1 / 0", "zero"),
        ("x" * 5_000, "5,000 characters"),
        ("(" * 2_000 + "1" + ")" * 2_000, "no CEL"),
    ],
)
def test_what_has_no_value_says_why(expression: str, word: str) -> None:
    failed = evaluate(expression, {"data": {"rows": 3}})
    assert isinstance(failed, Failed)
    assert word in failed.reason


def test_a_reason_has_no_general_advice_of_the_evaluator() -> None:
    failed = evaluate("number > 0", {"number": "four"})
    assert isinstance(failed, Failed)
    assert failed.reason.endswith("No such overload: the operation is not defined for the given operand types")


@pytest.mark.parametrize(
    ("expression", "data"),
    [
        pytest.param("data.all(a, data.all(b, data.all(c, a == b)))", list(range(100)), id="nested macros"),
        pytest.param("data.map(a, data.map(b, 1)).size() > 0", list(range(100)), id="nested copies"),
        pytest.param("[data].map(a, a + a)" + ".map(a, a + a)" * 30, "x", id="doubling"),
        pytest.param("data" + " + data" * 300, "x" * 1_000_000, id="long texts"),
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(expression: str, data: Any) -> None:
    failed = evaluate(expression, {"data": data})
    assert isinstance(failed, Failed)
    assert "steps" in failed.reason


def test_a_filter_over_a_long_list_is_no_bomb() -> None:
    assert evaluate("data.exists(x, x == 9999)", {"data": list(range(10_000))}) is True


def test_what_no_event_could_make_cheap_is_refused_at_deploy() -> None:
    assert "steps" in problem_of("[1]" + ".map(a, a + a)" * 30)
    assert problem_of("data.rows > 2 && data.tags.exists(t, t == 'x')") == ""


@given(EXPRESSIONS, JSON)
def test_whatever_comes_an_evaluation_ends_in_a_value_or_a_reason(expression: str, data: Any) -> None:
    value = evaluate(expression, {"data": data})
    assert isinstance(value, Failed | None | bool | int | float | str | list | dict)
