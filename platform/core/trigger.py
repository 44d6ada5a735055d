"""What a trigger says about an event: not mine, a run with these parameters, or why it cannot be mapped."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..wire.labels import problem_of
from ..wire.manifest import FlowSpec, TriggerSpec
from ..wire.terms import JSON
from .expression import Failed, evaluate
from .schema_fit import first_error, without_required

KEY_MAX_CHARS: Final = 1_024


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger in force. Its id is `project/flow/name`: a redeploy is no new trigger. `member` is the one of a join
    that this listens for."""

    id: str
    project: str
    flow: str
    spec: TriggerSpec
    parameters: JSON
    member: int | None = None

    @property
    def heard(self) -> TriggerSpec:
        """What it listens for: itself, or the member of a join."""
        return self.spec if self.member is None else self.spec.members[self.member]


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Anything a trigger can match: an event from outside, or an entry of our own log."""

    kind: str
    subject: str
    source: str
    id: str
    attributes: dict[str, Any]
    data: JSON
    state: str = ""
    depth: int = 0
    root_id: str = ""
    project: str | None = None


class Match(msgspec.Struct, frozen=True):
    """`key` tells apart what the trigger counts or gathers separately; `labels` are for the run."""

    parameters: dict[str, Any]
    key: str = ""
    labels: dict[str, str] = {}


class NoMatch(msgspec.Struct, frozen=True):
    reason: str


class Mismatch(msgspec.Struct, frozen=True):
    """The trigger matches and cannot map the event: a dead letter naming field, value and expected type."""

    code: str
    reason: str


def triggers_of(flow: FlowSpec) -> list[Trigger]:
    return [
        Trigger(
            id=f"{flow.project}/{flow.name}/{spec.name}",
            project=flow.project,
            flow=flow.name,
            spec=spec,
            parameters=flow.parameters,
        )
        for spec in flow.triggers
    ]


def listeners_of(trigger: Trigger) -> list[Trigger]:
    """The trigger once for each thing that it listens for."""
    members = range(len(trigger.spec.members))
    return [msgspec.structs.replace(trigger, member=number) for number in members] or [trigger]


def judge(trigger: Trigger, happening: Happening) -> Match | NoMatch | Mismatch:
    """Whether `happening` starts the trigger's flow: its attributes, schema, filter, parameters, key and labels."""
    if narrowed := _narrowed(trigger, happening):
        return NoMatch(narrowed)
    heard = trigger.heard
    if heard.schema is not None and (wrong := _off_schema(heard.schema, happening.data)):
        return Mismatch("schema_mismatch", wrong)
    if heard.where is not None:
        passed = passes(heard.where, happening)
        if isinstance(passed, Mismatch):
            return passed
        if not passed:
            return NoMatch(f"its filter {heard.where!r} is false")
    parameters = _mapped(trigger, happening)
    if isinstance(parameters, Mismatch):
        return parameters
    key = _key(heard.key or trigger.spec.key, happening)
    if isinstance(key, Mismatch):
        return key
    labels = _labels(heard.labels, happening)
    return labels if isinstance(labels, Mismatch) else Match(parameters, key, labels)


def _narrowed(trigger: Trigger, happening: Happening) -> str:
    spec = trigger.heard
    if happening.project is not None and happening.project != trigger.project:
        return f"the event belongs to project {happening.project!r}, the trigger to {trigger.project!r}"
    if spec.source is not None and spec.source != happening.source:
        return f"it listens to source {spec.source!r}, not {happening.source!r}"
    wanted = spec.state or ("SUCCEEDED" if spec.kind == "finished" else "")
    if wanted and wanted != happening.state:
        return f"it waits for state {wanted}, not {happening.state}"
    return ""


def _off_schema(schema: JSON, data: JSON) -> str:
    error = first_error(schema, data)
    if error is None:
        return ""
    path = ".".join(str(part) for part in ("data", *error.absolute_path))
    return f"{path} = {_shown(error.instance)} does not fit the type's schema: {error.message[:200]}"


def _seen(happening: Happening) -> dict[str, Any]:
    return {"event": happening.attributes, "data": happening.data}


def passes(where: str, happening: Happening) -> bool | Mismatch:
    """Whether the filter lets it through, or why it cannot say."""
    result = evaluate(where, _seen(happening))
    if isinstance(result, Failed):
        return Mismatch("filter_failed", f"The filter {where!r} cannot be evaluated: {result.reason}")
    if not isinstance(result, bool):
        return Mismatch("filter_failed", f"The filter {where!r} gives {result!r}, not true or false")
    return result


def _mapped(trigger: Trigger, happening: Happening) -> dict[str, Any] | Mismatch:
    given = _of_map(trigger, happening) if trigger.heard.map else _of_data(trigger, happening)
    if isinstance(given, Mismatch):
        return given
    schema, fitted = trigger.parameters, given
    if trigger.spec.members:  # the others bring the rest
        schema = without_required(schema)
    if trigger.spec.batch is not None:
        fitted = {name: [value] for name, value in given.items()}
    problem = misfit(schema, fitted)
    return Mismatch("bad_parameters", f"Flow {trigger.flow!r}: {problem}") if problem else given


def _of_map(trigger: Trigger, happening: Happening) -> dict[str, Any] | Mismatch:
    found: dict[str, Any] = {}
    for name, expression in trigger.heard.map.items():
        value = evaluate(expression, _seen(happening))
        if isinstance(value, Failed):
            reason = f"parameter {name!r} = {expression!r} cannot be evaluated: {value.reason}"
            return Mismatch("map_failed", f"{reason}; the data is {_shown(happening.data)}")
        found[name] = value
    return found


def _of_data(trigger: Trigger, happening: Happening) -> dict[str, Any] | Mismatch:
    known = trigger.parameters.get("properties", {})
    if trigger.spec.batch is not None:
        return dict.fromkeys(known, happening.data)  # one parameter: the list of what came
    data = {} if happening.data is None else happening.data
    if not isinstance(data, dict):
        return Mismatch("bad_parameters", f"The event's data is {_kind(data)}, the flow's parameters need an object")
    if happening.kind != "event" or trigger.spec.members:
        return {name: value for name, value in data.items() if name in known}
    return data


def _key(expression: str | None, happening: Happening) -> str | Mismatch:
    if expression is None:
        return ""
    value = evaluate(expression, _seen(happening))
    if isinstance(value, Failed):
        return Mismatch("key_failed", f"The key {expression!r} cannot be evaluated: {value.reason}")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if value is None or len(text) > KEY_MAX_CHARS:
        return Mismatch("key_failed", f"The key {expression!r} gives {_shown(value)}, which can be no key")
    return text


def _labels(expressions: dict[str, str], happening: Happening) -> dict[str, str] | Mismatch:
    """What is null gives no label; a number stands as its text."""
    found: dict[str, str] = {}
    for name, expression in expressions.items():
        value = evaluate(expression, _seen(happening))
        if isinstance(value, Failed):
            return Mismatch("label_failed", f"The label {name!r} = {expression!r} cannot be evaluated: {value.reason}")
        if value is not None:
            found[name] = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    problem = problem_of(found)
    return Mismatch("label_failed", problem) if problem else found


def misfit(schema: JSON, parameters: dict[str, Any]) -> str:
    """What is wrong with `parameters`, naming the field, its value and the expected type; empty where they fit."""
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in parameters:
            return f"parameter {name!r} is missing; expected {_expected(known.get(name, {}))}"
    for name in parameters:
        if name not in known:
            return f"unknown parameter {name!r} = {_shown(parameters[name])}; known are {', '.join(known) or 'none'}"
    error = first_error(schema, parameters)
    if error is None:
        return ""
    path = ".".join(str(part) for part in error.absolute_path)
    return f"parameter {path!r} = {_shown(error.instance)}: expected {_expected(error.schema)}"


def _expected(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "another value"
    if "anyOf" in schema:
        return " or ".join(_expected(option) for option in schema["anyOf"])
    if "enum" in schema:
        return f"one of {schema['enum']}"
    return str(schema.get("format") or schema.get("type") or "another value")


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", bool: "true or false", bytes: "bytes"}.get(type(value), "a number")
