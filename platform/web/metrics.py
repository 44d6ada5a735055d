"""What `/metrics` says, in Prometheus text. The table is the documentation: name, kind, unit, labels, help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .seams import Platform

Samples = Mapping[tuple[str, ...], float]


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    kind: str  # gauge: may fall; counter: only grows until the process ends
    unit: str
    labels: tuple[str, ...]
    help: str


# fmt: off
LOG_POSITION = Metric("headwater_log_position", "gauge", "entries", (), "Entries in the log.")
RELAYED      = Metric("headwater_relay_position", "gauge", "entries", (), "Entries of the log that are in Kafka.")
HEARD        = Metric("headwater_web_position", "gauge", "entries", (), "Entries of the log that Web has heard.")
RUNS         = Metric("headwater_runs", "gauge", "runs", ("state",), "Runs that have not ended.")
STEPS        = Metric("headwater_steps", "gauge", "steps", ("state",), "Steps that have not ended.")
LEASES       = Metric("headwater_leases", "gauge", "leases", ("state",), "Leases of devices that are not free.")
NODES        = Metric("headwater_nodes", "gauge", "nodes", ("state",), "Nodes that are there.")
DEVICES      = Metric("headwater_devices", "gauge", "devices", ("state",), "Devices that are there.")
DEAD_LETTERS = Metric("headwater_dead_letters", "gauge", "records", (), "Dead letters kept.")
SUBSCRIBERS  = Metric("headwater_subscribers", "gauge", "streams", (), "Open event streams.")
CUTS         = Metric("headwater_subscriber_cuts_total", "counter", "streams", (), "Streams cut for being slow.")
REQUESTS     = Metric("headwater_http_requests_total", "counter", "requests", ("method", "status"), "Answered calls.")
# fmt: on

METRICS: Final = (
    LOG_POSITION, RELAYED, HEARD, RUNS, STEPS, LEASES, NODES, DEVICES, DEAD_LETTERS, SUBSCRIBERS, CUTS,
    REQUESTS,
)  # fmt: skip


class RequestCount:
    """Pure ASGI: counts answers by method and status."""

    def __init__(self, app: ASGIApp, counts: Counter[tuple[str, ...]]) -> None:
        self._app, self._counts = app, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts[(scope["method"], str(message["status"]))] += 1
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)


def exposition(platform: Platform, requests: Counter[tuple[str, ...]]) -> str:
    """The text of one scrape. Blocking: it reads the store."""
    counts = platform.queries.counts()
    hub = platform.hub
    samples: dict[Metric, Samples] = {
        LOG_POSITION: {(): platform.queries.head().position},
        RELAYED: {(): platform.queries.relayed()},
        HEARD: {(): hub.position},
        RUNS: _by_state(counts["runs"]),
        STEPS: _by_state(counts["steps"]),
        LEASES: _by_state(counts["leases"]),
        NODES: _by_state(counts["nodes"]),
        DEVICES: _by_state(counts["devices"]),
        DEAD_LETTERS: {(): counts["dead_letters"][""]},
        SUBSCRIBERS: {(): hub.subscribers},
        CUTS: {(): hub.cuts},
        REQUESTS: dict(requests),
    }
    return "".join(render(metric, samples[metric]) for metric in METRICS)


def render(metric: Metric, samples: Samples) -> str:
    """One metric with its samples by label values."""
    head = f"# HELP {metric.name} {metric.help} Unit: {metric.unit}.\n# TYPE {metric.name} {metric.kind}\n"
    return head + "".join(_line(metric, values, number) for values, number in samples.items())


def _line(metric: Metric, values: Iterable[str], number: float) -> str:
    pairs = ",".join(f'{name}="{_escaped(text)}"' for name, text in zip(metric.labels, values, strict=True))
    return f"{metric.name}{{{pairs}}} {number}\n" if pairs else f"{metric.name} {number}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _by_state(counts: Mapping[str, int]) -> Samples:
    return {(state,): count for state, count in counts.items()}
