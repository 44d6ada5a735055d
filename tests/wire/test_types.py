"""The one table of what is said: every type goes out and comes back, and strangers are told apart."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from typing import Any

import msgspec
import pytest

from headwater.wire import entries
from headwater.wire.entries.events import CommandDone
from headwater.wire.entries.nodes import Device
from headwater.wire.entries.runs import RunFailed
from headwater.wire.entries.steps import StepWaiting
from headwater.wire.terms import JSON, Body, Demand, Failure
from headwater.wire.types import TERMINAL, AnyBody, Entry, decode_body, decode_entry, encode_body, encode_entry, type_of

BODIES: tuple[type[Body], ...] = typing.get_args(AnyBody)
SAMPLES: dict[Any, Any] = {
    int: 7,
    float: 0.5,
    str: "word",
    bool: True,
    JSON: {"a": [1, None]},
    Failure: Failure(kind="exception", message="boom", frames="at line 3"),
    Demand: Demand(gpus_milli=500, gpu_model="A100"),
    tuple[str, ...]: ("n1/0", "n1/1"),
    tuple[Device, ...]: (Device(id="n1/0", model="A100"),),
    dict[str, str]: {"zone": "b"},
    dict[str, int]: {"eta": -7},
}


def sample_of(body: type[Body]) -> Any:
    """A body with every field set."""
    fields = {}
    for name, hint in typing.get_type_hints(body).items():
        options = [hint, *typing.get_args(hint)]
        fields[name] = next(SAMPLES[option] for option in options if option in SAMPLES)
    return body(**fields)


@pytest.mark.parametrize("body", BODIES)
def test_every_body_comes_back_as_it_was(body: type[Body]) -> None:
    sample = sample_of(body)
    assert decode_body(encode_body(sample)) == sample
    assert decode_body(encode_body(sample).decode()) == sample


def test_every_body_there_is_stands_in_the_table_once() -> None:
    modules = [
        importlib.import_module(f"{entries.__name__}.{one.name}") for one in pkgutil.iter_modules(entries.__path__)
    ]
    said = {one for module in modules for one in vars(module).values() if isinstance(one, type)}
    assert {one for one in said if issubclass(one, Body) and one is not Body} == set(BODIES)
    tags = [body.__struct_config__.tag for body in BODIES]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("body", BODIES)
def test_a_type_is_a_dotted_name(body: type[Body]) -> None:
    noun, _, verb = type_of(sample_of(body)).partition(".")
    assert noun.isidentifier()
    assert verb.isidentifier()


def test_what_ends_a_run_is_named() -> None:
    assert {body.__struct_config__.tag for body in BODIES} >= TERMINAL


def test_an_entry_comes_back_with_its_type() -> None:
    body = sample_of(RunFailed)
    entry = Entry(position=3, body=body, subject="r", project="eta", principal="me", time_us=1, run_id="r", seq=2)
    assert decode_entry(encode_entry(entry)) == entry
    assert entry.type == "run.failed"


def test_a_type_of_tomorrow_is_refused_and_a_field_of_tomorrow_ignored() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_body(b'{"type":"from.tomorrow"}')
    assert decode_body(b'{"type":"command.done","command":"c","tomorrow":1}') == CommandDone(command="c")


def test_what_was_said_before_a_field_was_added_is_read_with_its_default() -> None:
    raw = b'{"type":"step.waiting","step_id":"r/0","name":"fit","ordinal":0,"priority":0,"demand":{},"since_us":1}'
    body = decode_body(raw)
    assert isinstance(body, StepWaiting)
    assert (body.max_runtime_s, body.demand.cpus_milli, body.demand.ranks) == (None, 1000, 1)


def test_defaults_are_not_written() -> None:
    assert encode_body(CommandDone(command="c")) == b'{"type":"command.done","command":"c"}'
