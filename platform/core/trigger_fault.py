"""What is wrong with a trigger as it was declared, told at deploy: a sentence and its remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import jsonschema  # type: ignore[import-untyped]
import msgspec

from ..errors import did_you_mean
from ..wire.labels import problem_of as labels_problem
from ..wire.manifest import KINDS, TriggerSpec
from ..wire.terms import JSON
from .cron import problem_of_cron
from .decisions import NAMES, PREFIX
from .expression import problem_of
from .trigger_kind import TriggerKind

BATCH_REMEDY: Final = 'Write batch=(count, time), as in batch=(100, "30s")'


class TriggerFault(msgspec.Struct, frozen=True):
    what: str
    remedy: str


def fault_of(spec: TriggerSpec, parameters: JSON, added: Sequence[TriggerKind] = ()) -> TriggerFault | None:
    """The first thing that is wrong with the trigger of a flow that takes `parameters`; None where nothing is.

    `added` are the kinds that packages bring.
    """
    return next(_faults(spec, parameters, {kind.name: kind for kind in added}), None)


def _faults(spec: TriggerSpec, parameters: JSON, added: Mapping[str, TriggerKind]) -> Iterator[TriggerFault]:
    for heard in (spec, *spec.members):
        if heard.kind in added and (problem := added[heard.kind].fault(heard)):
            yield TriggerFault(problem, f"See the package that brings the trigger kind {heard.kind!r}")
        elif heard.kind not in added and heard.kind not in KINDS:
            near = did_you_mean(heard.kind, [*added, *KINDS])
            yield TriggerFault(f"there is no trigger kind {heard.kind!r} where this is deployed", near)
    yield from _of_expressions(spec)
    for heard in (spec, *spec.members):
        if heard.kind == "event" and heard.subject.startswith(PREFIX) and heard.subject not in NAMES:
            near = did_you_mean(heard.subject, NAMES)
            yield TriggerFault(
                f"{heard.subject!r} is no decision of the platform's", near or "Name one of quota or gpus"
            )
    if spec.members:
        yield from _of_members(spec, parameters)
    else:
        yield from _of_map(spec, parameters)
    yield from _of_counts(spec)
    if spec.batch is not None and not spec.map and len(parameters.get("properties", {})) != 1:
        remedy = "Give the flow one parameter, a list of what comes, or say map="
        yield TriggerFault("a batch of whole events goes into one parameter, and the flow has not exactly one", remedy)
    if spec.kind == "cron" and (problem := problem_of_cron(spec.subject, spec.timezone)):
        yield TriggerFault(
            problem, 'Write minute, hour, day, month, weekday, as in "0 6 * * *", and tz="Europe/Berlin"'
        )
    if spec.schema is not None:
        try:
            jsonschema.Draft202012Validator.check_schema(spec.schema)
        except jsonschema.SchemaError as error:
            yield TriggerFault(f"its schema is no JSON Schema: {error.message}", "See json-schema.org, draft 2020-12")


def _of_expressions(spec: TriggerSpec) -> Iterator[TriggerFault]:
    named = [
        ("filter", spec.where),
        ("key", spec.key),
        *((f"map of {name!r}", cel) for name, cel in spec.map.items()),
        *((f"label {name!r}", cel) for name, cel in spec.labels.items()),
    ]
    if problem := labels_problem(dict.fromkeys(spec.labels, "x")):
        yield TriggerFault(problem, "Name a label with letters, digits and _ . / -, and its value by CEL")
    for what, expression in named:
        if expression is not None and (problem := problem_of(expression)):
            yield TriggerFault(
                f"its {what} {expression[:200]!r} cannot be used: {problem}", 'CEL is like "data.rows > 0"'
            )


def _of_counts(spec: TriggerSpec) -> Iterator[TriggerFault]:
    ways = [name for name, used in _ways(spec).items() if used]
    if len(ways) > 1:
        yield TriggerFault(f"it is gathered in {len(ways)} ways ({', '.join(ways)})", "Choose one of them")
    if spec.members and spec.within_s <= 0:
        yield TriggerFault("a join needs a window", 'Say how long it waits for the rest, as in within="1h"')
    if spec.debounce_s < 0 or spec.within_s < 0:
        yield TriggerFault("its time is negative", "Write a length of time above 0")
    if spec.batch is not None and (spec.batch.count < 1 or spec.batch.within_s <= 0):
        yield TriggerFault(f"its batch is {spec.batch.count} events within {spec.batch.within_s:g} s", BATCH_REMEDY)
    if spec.concurrency is not None and spec.concurrency.limit < 1:
        yield TriggerFault(f"its concurrency is {spec.concurrency.limit}", "Allow at least one run at once")


def _ways(spec: TriggerSpec) -> dict[str, bool]:
    return {"all_of": bool(spec.members), "batch": spec.batch is not None, "debounce": spec.debounce_s > 0}


def _of_members(spec: TriggerSpec, parameters: JSON) -> Iterator[TriggerFault]:
    if len(spec.members) < 2:
        yield TriggerFault(f"it joins {len(spec.members)} triggers", "Name two or more")
    for member in spec.members:
        if member.members or member.kind == "cron" or any(_ways(member).values()) or member.concurrency is not None:
            remedy = "Join plain triggers; debounce, batch and concurrency belong to the flow's own"
            yield TriggerFault(f"its member {member.name!r} is no plain trigger", remedy)
        yield from _of_expressions(member)
        for name in member.map:
            if name not in parameters.get("properties", {}):
                what = f"the map of its member {member.name!r} names {name!r}, which the flow does not take"
                yield TriggerFault(what, did_you_mean(name, parameters.get("properties", {})))


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
