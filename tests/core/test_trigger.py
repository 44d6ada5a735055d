"""What a trigger says about an event: not mine, a run, or why not, naming the field."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.core.trigger import Happening, Match, Mismatch, NoMatch, Trigger, judge, misfit, triggers_of
from headwater.wire.manifest import FlowSpec, TriggerSpec

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}, "rows": {"type": "integer"}, "at": {"type": "string", "format": "date"}},
    "required": ["day"],
    "additionalProperties": False,
}


def a_trigger(parameters: Any = SCHEMA, **spec: Any) -> Trigger:
    chosen = TriggerSpec(**{"name": "t", "kind": "event", "subject": "landed", **spec})
    return Trigger(id="eta/train/t", project="eta", flow="train", spec=chosen, parameters=parameters)


def an_event(data: Any = None, **changes: Any) -> Happening:
    fields: dict[str, Any] = {
        "kind": "event",
        "subject": "landed",
        "source": "airline",
        "id": "e1",
        "attributes": {"id": "e1", "source": "airline", "type": "landed"},
        "data": {"day": "monday"} if data is None else data,
    }
    return Happening(**{**fields, **changes})


def test_data_becomes_parameters() -> None:
    assert judge(a_trigger(), an_event({"day": "monday", "rows": 3})) == Match({"day": "monday", "rows": 3})


def test_a_redeploy_is_no_new_trigger() -> None:
    spec = TriggerSpec(name="event:landed", kind="event", subject="landed")
    flow = FlowSpec(name="train", project="eta", function="flow:train", parameters=SCHEMA, triggers=(spec,))
    assert [trigger.id for trigger in triggers_of(flow)] == ["eta/train/event:landed"]


# Filters.


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        ("data.rows > 2", True),
        ("data.rows > 3", False),
        ("data.day == 'monday' && event.source == 'airline'", True),
        ("event.source == 'other'", False),
        ("has(data.missing)", False),
    ],
)
def test_a_filter_sees_the_event_and_its_data(where: str, passes: bool) -> None:
    verdict = judge(a_trigger(where=where), an_event({"day": "monday", "rows": 3}))
    assert isinstance(verdict, Match if passes else NoMatch)


@pytest.mark.parametrize("where", ["data.missing > 1", "data.rows", "data.rows >", "1 / 0 == 1", "x" * 5_000])
def test_a_filter_that_does_not_say_true_or_false_is_a_mismatch(where: str) -> None:
    verdict = judge(a_trigger(where=where), an_event({"day": "monday", "rows": 3}))
    assert isinstance(verdict, Mismatch)
    assert verdict.code == "filter_failed"
    assert where[:20] in verdict.reason


def test_a_filter_that_is_false_comes_before_parameters_that_do_not_fit() -> None:
    verdict = judge(a_trigger(where="data.rows > 3"), an_event({"rows": 1}))
    assert verdict == NoMatch("its filter 'data.rows > 3' is false")


# Narrowing.


def test_an_event_of_another_project_is_not_mine() -> None:
    verdict = judge(a_trigger(), an_event(project="rides"))
    assert verdict == NoMatch("the event belongs to project 'rides', the trigger to 'eta'")
    assert isinstance(judge(a_trigger(), an_event(project="eta")), Match)
    assert isinstance(judge(a_trigger(), an_event(project=None)), Match)


def test_a_source_narrows() -> None:
    assert isinstance(judge(a_trigger(source="airline"), an_event()), Match)
    assert judge(a_trigger(source="x"), an_event()) == NoMatch("it listens to source 'x', not 'airline'")


@pytest.mark.parametrize(
    ("wanted", "state", "passes"),
    [
        (None, "SUCCEEDED", True),
        (None, "FAILED", False),
        ("FAILED", "FAILED", True),
        ("FAILED", "SUCCEEDED", False),
        ("CANCELLED", "CANCELLED", True),
    ],
)
def test_a_finished_flow_is_waited_for_in_one_state(wanted: str | None, state: str, passes: bool) -> None:
    trigger = a_trigger({"type": "object"}, kind="finished", subject="eta/load", state=wanted)
    verdict = judge(trigger, an_event({"run_id": "r"}, kind="finished", state=state))
    assert isinstance(verdict, Match if passes else NoMatch)


def test_of_our_own_facts_a_flow_gets_what_it_asks_for() -> None:
    trigger = a_trigger(kind="commit", subject="lake.x")
    data = {"day": "monday", "snapshot_id": 9, "rows_added": 4}
    assert judge(trigger, an_event(data, kind="commit")) == Match({"day": "monday"})


# Parameters.


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({}, "parameter 'day' is missing; expected string"),
        ({"day": 7}, "parameter 'day' = 7: expected string"),
        ({"day": "x", "rows": "many"}, "parameter 'rows' = \"many\": expected integer"),
        ({"day": "x", "more": [1]}, "unknown parameter 'more' = [1]; known are day, rows, at"),
        ({"day": "x" * 10, "rows": True}, "parameter 'rows' = true: expected integer"),
        ({"day": "monday", "rows": 3}, ""),
    ],
)
def test_a_misfit_names_field_value_and_expected_type(parameters: dict[str, Any], problem: str) -> None:
    assert misfit(SCHEMA, parameters) == problem


def test_a_misfit_inside_names_the_way_to_it() -> None:
    schema = {
        "type": "object",
        "properties": {
            "days": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "mode": {"enum": ["fast", "good"]},
        },
    }
    assert misfit(schema, {"days": ["a", 2]}) == "parameter 'days.1' = 2: expected string or null"
    assert misfit(schema, {"mode": "slow"}) == "parameter 'mode' = \"slow\": expected one of ['fast', 'good']"


def test_a_long_value_is_cut() -> None:
    problem = misfit(SCHEMA, {"day": "x", "rows": "y" * 500})
    assert "..." in problem
    assert len(problem) < 200


def test_a_mismatch_names_the_flow() -> None:
    verdict = judge(a_trigger(), an_event({"day": 7}))
    assert verdict == Mismatch("bad_parameters", "Flow 'train': parameter 'day' = 7: expected string")


@pytest.mark.parametrize(("data", "kind"), [([1], "a list"), ("x", "text"), (True, "true or false"), (7, "a number")])
def test_data_that_is_no_object_is_a_mismatch(data: Any, kind: str) -> None:
    verdict = judge(a_trigger(), an_event(data))
    assert isinstance(verdict, Mismatch)
    assert f"data is {kind}" in verdict.reason


def test_an_event_without_data_has_no_parameters() -> None:
    trigger = a_trigger({"type": "object", "properties": {}})
    happening = Happening(kind="event", subject="landed", source="s", id="e", attributes={}, data=None)
    assert judge(trigger, happening) == Match({})


# Maps, keys, schemas.


def test_a_map_gives_the_parameters_by_expression() -> None:
    trigger = a_trigger(map={"day": "data.when.day", "rows": "size(data.files)"})
    event = an_event({"when": {"day": "monday"}, "files": ["a", "b"]})
    assert judge(trigger, event) == Match({"day": "monday", "rows": 2})


def test_a_map_that_fails_names_parameter_expression_and_data() -> None:
    verdict = judge(a_trigger(map={"day": "data.when.day"}), an_event({"when": 7}))
    assert isinstance(verdict, Mismatch)
    assert verdict.code == "map_failed"
    for word in ("'day'", "data.when.day", '{"when":7}'):
        assert word in verdict.reason


def test_a_mapped_value_of_the_wrong_type_is_a_mismatch() -> None:
    verdict = judge(a_trigger(map={"day": "data.rows"}), an_event({"rows": 3}))
    assert verdict == Mismatch("bad_parameters", "Flow 'train': parameter 'day' = 3: expected string")


@pytest.mark.parametrize(("key", "text"), [("data.day", "monday"), ("data.rows", "3"), ("[data.rows]", "[3]")])
def test_a_key_is_text(key: str, text: str) -> None:
    assert judge(a_trigger(key=key), an_event({"day": "monday", "rows": 3})) == Match(
        {"day": "monday", "rows": 3}, text
    )


@pytest.mark.parametrize("key", ["data.missing", "null", "data.long"])
def test_a_key_that_is_none_is_a_mismatch(key: str) -> None:
    trigger = a_trigger({"type": "object", "properties": {"long": {}}}, key=key)
    verdict = judge(trigger, an_event({"long": "x" * 2_000}))
    assert isinstance(verdict, Mismatch)
    assert verdict.code == "key_failed"


def test_data_off_the_types_schema_is_a_mismatch_before_the_filter_is_asked() -> None:
    schema = {"type": "object", "properties": {"rows": {"minimum": 1}}, "required": ["rows"]}
    trigger = a_trigger(schema=schema, where="data.rows > 5")
    for data, words in (({"day": "x"}, "'rows' is a required property"), ({"rows": 0}, "data.rows = 0")):
        verdict = judge(trigger, an_event(data))
        assert isinstance(verdict, Mismatch)
        assert verdict.code == "schema_mismatch"
        assert words in verdict.reason
    assert isinstance(judge(trigger, an_event({"day": "x", "rows": 1})), NoMatch)
