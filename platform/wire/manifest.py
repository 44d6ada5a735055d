"""What importing a deployed folder declared. The actors work from this and never import user code."""

from __future__ import annotations

from typing import Literal

import msgspec

from .types import JSON, Demand

TriggerKind = Literal["event", "commit", "finished", "model"]


class TriggerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`subject` is an event type, a table, `flow` or `project/flow`, or a model, by `kind`.

    `where` is CEL over `event` attributes and `data`; `state` narrows `finished` (default SUCCEEDED). `map` gives
    parameters by CEL, without it the data's members are the parameters. `key` is CEL too: what the trigger gathers
    or limits, it does so for each key. `schema` is the JSON Schema that the event's data must fit.
    """

    name: str
    kind: TriggerKind
    subject: str
    where: str | None = None
    source: str | None = None
    state: str | None = None
    map: dict[str, str] = {}
    key: str | None = None
    schema: JSON = None
    line: int = 0


class FlowSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`function` is `module:qualname`. `parameters` is a JSON Schema object, `additionalProperties` false."""

    name: str
    project: str
    function: str
    parameters: JSON
    triggers: tuple[TriggerSpec, ...] = ()
    doc: str = ""
    file: str = ""
    line: int = 0


class StepSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    function: str
    demand: Demand = Demand()
    file: str = ""
    line: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    flows: tuple[FlowSpec, ...]
    steps: tuple[StepSpec, ...] = ()
    python: str = ""
    requirements: str = ""
