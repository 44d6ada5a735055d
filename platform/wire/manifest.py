"""What importing a deployed folder declared. The actors work from this and never import user code."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from .terms import JSON, Demand

KINDS: Final = ("event", "commit", "finished", "model", "cron", "all_of")  # packages add others
OverLimit = Literal["queue", "drop-oldest", "cancel-previous"]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """So many events make one run, or what has come `within_s` of the first."""

    count: int
    within_s: float


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """So many runs at once. What comes over it waits; the older that waits is dropped; or what runs is cancelled."""

    limit: int
    over: OverLimit = "queue"


class TriggerSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`subject` is an event type, a table, `flow` or `project/flow`, or a model, by `kind`.

    `where` is CEL over `event` attributes and `data`; `state` narrows `finished` (default SUCCEEDED). `map` gives
    parameters by CEL, without it the data's members are the parameters. `labels` gives the run's labels by CEL. `key`
    is CEL too: what the trigger gathers or limits, it does so for each key. `schema` is the JSON Schema that the
    event's data must fit.

    The subject of `cron` is its expression, in `timezone`; of the times missed it catches up with the newest
    `catch_up`. `all_of` starts one run when each of `members` has come `within_s` of the first.
    """

    name: str
    kind: str
    subject: str
    where: str | None = None
    source: str | None = None
    state: str | None = None
    map: dict[str, str] = {}
    key: str | None = None
    schema: JSON = None
    timezone: str = "UTC"
    catch_up: int = 1
    members: tuple[TriggerSpec, ...] = ()
    within_s: float = 0
    debounce_s: float = 0
    batch: Batch | None = None
    concurrency: Concurrency | None = None
    priority: int = 0
    labels: dict[str, str] = {}
    line: int = 0


class FlowSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`function` is `module:qualname`. `parameters` is a JSON Schema object, `additionalProperties` false. `labels` are
    those of each of its runs."""

    name: str
    project: str
    function: str
    parameters: JSON
    triggers: tuple[TriggerSpec, ...] = ()
    labels: dict[str, str] = {}
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
