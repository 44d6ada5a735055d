"""The AsyncAPI document: what Headwater says and hears on Kafka and pushes over HTTP, made from the tables of wire/.

`python -m headwater.web.asyncapi docs/asyncapi.json` writes it anew; a test keeps the file current.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ..events.relay import TOPIC_OF
from ..wire import topics
from ..wire.api.artifacts import LogText
from ..wire.calls import Progress
from ..wire.entries.events import EventPublished
from ..wire.terms import Body
from ..wire.types import AnyBody, Entry

REF: Final = "#/components/schemas/{name}"
BODIES: Final[tuple[type[Body], ...]] = typing.get_args(AnyBody)
PUSHED: Final[Mapping[str, tuple[str, str]]] = {
    "watch": ("/v1/watch", "What is new everywhere, of a project, of a flow's runs, or of runs in some states."),
    "run": ("/v1/runs/{run_id}/events", "Every entry of a run from its first, without gap or repeat, then `end`."),
    "logs": ("/v1/runs/{run_id}/logs?follow=true", "What the code of a run writes, while it writes, then `end`."),
}
RULES: Final = """\
Every entry has a `position`, gapless over the store, and within a run a `seq`, gapless from 1 to the entry that ends
it. On Kafka an entry is the `data` of a CloudEvent in structured mode, whose key is the entry's subject; over HTTP it
is the `data` of a server-sent event, whose id is the cursor EPOCH:POSITION: send it as `Last-Event-ID` to go on after
it. Both come at least once and in order. `rewound` says that the store is not the one that the cursor is of."""


def document(version: str) -> dict[str, Any]:
    messages = {**{name_of(body): _entry_message(body) for body in BODIES}, **_OTHERS}
    _, schemas = msgspec.json.schema_components((Entry, Progress, LogText), ref_template=REF)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Headwater", "version": version, "description": RULES},
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "127.0.0.1:9092", "protocol": "kafka"},
            "http": {"host": "127.0.0.1:8000", "protocol": "http", "security": [{"$ref": _SCHEME}]},
        },
        "channels": {**{topic.name: _topic(topic) for topic in topics.TOPICS}, **_pushed()},
        "operations": {**{topic.name: _operation(topic) for topic in topics.TOPICS}, **_pushes()},
        "components": {
            "messages": messages,
            "schemas": {**schemas, "CloudEvent": _CLOUD_EVENT},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def name_of(body: type[Body]) -> str:
    tag = body.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


_SCHEME: Final = "#/components/securitySchemes/token"
_CLOUD_EVENT: Final = {
    "type": "object",
    "description": "A CloudEvent 1.0 in structured or binary mode.",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        **{name: {"type": "string"} for name in ("specversion", "id", "source", "type", "subject", "time", "project")},
        "data": {},
    },
}
_OTHERS: Final[dict[str, Any]] = {
    "event": {"title": "Any CloudEvent", "payload": {"$ref": REF.format(name="CloudEvent")}},
    "joined": {
        "title": "The stream has begun, after the cursor in its id",
        "payload": {"type": "object"},
    },
    "progress": {"title": "How far a running step is; lossy", "payload": {"$ref": REF.format(name="Progress")}},
    "log": {"title": "What a step's attempt, or the flow, wrote", "payload": {"$ref": REF.format(name="LogText")}},
    "end": {
        "title": "The run has ended, and so does the stream",
        "payload": {"type": "object", "properties": {"state": {"type": "string"}}},
    },
    "rewound": {
        "title": "The cursor is of another life of the store",
        "payload": {"type": "object", "properties": {"store_epoch": {"type": "string"}}},
    },
}


def _entry_message(body: type[Body]) -> dict[str, Any]:
    said = (body.__doc__ or "").partition("\n")[0].strip()
    narrowed = {"properties": {"body": {"$ref": REF.format(name=body.__name__)}}}
    summary = {} if not said or said.startswith(f"{body.__name__}(") else {"summary": said}
    return {"name": name_of(body), **summary, "payload": {"allOf": [{"$ref": REF.format(name="Entry")}, narrowed]}}


def _topic(topic: topics.Topic) -> dict[str, Any]:
    if topic.direction is topics.Direction.INBOUND or topic is topics.PUBLISHED:
        names = ["event"]
    else:
        names = [name for body in BODIES if body is not EventPublished and _on(name := name_of(body), topic)]
    return {
        "address": topic.name,
        "servers": [{"$ref": "#/servers/kafka"}],
        "description": f"Key: {topic.key}.",
        "messages": _messages(names),
        "bindings": {"kafka": {"partitions": topic.partitions}},
    }


def _on(name: str, topic: topics.Topic) -> bool:
    return TOPIC_OF[name.partition(".")[0]] == topic.name


def _operation(topic: topics.Topic) -> dict[str, Any]:
    heard = topic.direction is topics.Direction.INBOUND
    summary = f"{'Read' if heard else 'Told'} by the {topic.owner.replace('_', ' ')}."
    channel = {"$ref": f"#/channels/{topic.name}"}
    return {"action": "receive" if heard else "send", "channel": channel, "summary": summary}


def _pushed() -> dict[str, Any]:
    entries = [name_of(body) for body in BODIES]
    names = {
        "watch": [*entries, "joined", "progress", "rewound"],
        "run": [*entries, "joined", "progress", "end", "rewound"],
        "logs": ["log", "end"],
    }
    return {
        name: {
            "address": address,
            "servers": [{"$ref": "#/servers/http"}],
            "description": said,
            "messages": _messages(names[name]),
            **({"parameters": {"run_id": {"description": "The id of a run."}}} if "{run_id}" in address else {}),
        }
        for name, (address, said) in PUSHED.items()
    }


def _pushes() -> dict[str, Any]:
    return {
        f"push.{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, "summary": said}
        for name, (_, said) in PUSHED.items()
    }


def _messages(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def text(version: str) -> str:
    return msgspec.json.format(msgspec.json.encode(document(version)), indent=1).decode() + "\n"


if __name__ == "__main__":
    from importlib import metadata

    Path(sys.argv[1]).write_text(text(metadata.version("headwater")))
