"""What is wrong with a trigger as it was declared, told at deploy: a sentence and its remedy."""

from __future__ import annotations

from collections.abc import Iterator

import jsonschema  # type: ignore[import-untyped]
import msgspec

from ..errors import did_you_mean
from ..wire.manifest import TriggerSpec
from ..wire.types import JSON
from .expression import problem_of


class TriggerFault(msgspec.Struct, frozen=True):
    what: str
    remedy: str


def fault_of(spec: TriggerSpec, parameters: JSON) -> TriggerFault | None:
    """The first thing that is wrong with the trigger of a flow that takes `parameters`; None where nothing is."""
    return next(_faults(spec, parameters), None)


def _faults(spec: TriggerSpec, parameters: JSON) -> Iterator[TriggerFault]:
    yield from _of_expressions(spec)
    yield from _of_map(spec, parameters)
    if spec.schema is not None:
        try:
            jsonschema.Draft202012Validator.check_schema(spec.schema)
        except jsonschema.SchemaError as error:
            yield TriggerFault(f"its schema is no JSON Schema: {error.message}", "See json-schema.org, draft 2020-12")


def _of_expressions(spec: TriggerSpec) -> Iterator[TriggerFault]:
    named = [("filter", spec.where), ("key", spec.key), *((f"map of {name!r}", cel) for name, cel in spec.map.items())]
    for what, expression in named:
        if expression is not None and (problem := problem_of(expression)):
            yield TriggerFault(
                f"its {what} {expression[:200]!r} cannot be used: {problem}", 'CEL is like "data.rows > 0"'
            )


def _of_map(spec: TriggerSpec, parameters: JSON) -> Iterator[TriggerFault]:
    if not spec.map:
        return
    known = parameters.get("properties", {})
    for name in spec.map:
        if name not in known:
            yield TriggerFault(f"its map names {name!r}, which the flow does not take", did_you_mean(name, known))
    for name in parameters.get("required", ()):
        if name not in spec.map:
            yield TriggerFault(f"its map leaves out {name!r}, which the flow needs", f"Add {name!r} to map=")
