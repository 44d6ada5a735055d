"""What entries, calls and answers have in common: the part of an entry that its type defines, what a step asks for,
and why something failed.
"""

from __future__ import annotations

from typing import Any

import msgspec

JSON = Any  # a value that came from JSON and goes back to it; nothing looks inside


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The part of an entry that its type defines."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one rank of a step asks for, in thousandths of a device or core, and bytes; and within which level of
    topology (node, island, rack, block) all ranks must, or should, be."""

    gpus_milli: int = 0
    gpu_model: str | None = None
    cpus_milli: int = 1000
    memory_bytes: int = 0
    ranks: int = 1
    required_level: str | None = None
    preferred_level: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something ended badly. `kind`: exception, timeout, out_of_memory, signal, lost, preempted, cancelled,
    code_mismatch, bad_parameters, flow_stuck, crash_loop, loop_detected, refused, impossible, engine_error.
    `frames` holds the user's frames only, as text; `bases` the names of the exception's types, its own first;
    `last_words` the end of what a process wrote that died."""

    kind: str
    message: str
    cause_type: str = ""
    frames: str = ""
    step: str = ""
    bases: tuple[str, ...] = ()
    last_words: str = ""
