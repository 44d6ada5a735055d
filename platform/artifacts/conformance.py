"""What every artifact codec promises. A package that brings one runs `check(codec, value, same)` in its own tests."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from .codec import Codec
from .files import Files
from .payloads import content_of, payload_of


def check(codec: Codec, value: Any, same: Callable[[Any, Any], bool], root: Path) -> None:
    """That `value` comes back as it was, alone, however it is stored, and that nothing else is taken."""
    assert isinstance(codec, Codec)
    assert codec.name
    for foreign in (None, object(), [value], {"value": [value]}):
        assert codec.encode(foreign) is None
    encoded = codec.encode(value)
    assert encoded is not None
    assert encoded.codec == codec.name
    assert not encoded.needs
    assert isinstance(encoded.about, dict)
    assert "type" in encoded.about
    msgspec.json.encode(encoded.about)
    content = encoded.content
    assert same(codec.decode(memoryview(bytearray(content))), value)
    _comes_back_from_a_mapped_file(codec, value, same, Files(root))


def _comes_back_from_a_mapped_file(codec: Codec, value: Any, same: Callable[[Any, Any], bool], files: Files) -> None:
    again = codec.encode(value)
    assert again is not None
    payload = payload_of(files, again)
    first, second = (codec.decode(content_of(files, payload)) for _ in range(2))
    assert type(first) is type(value)
    assert first is not second
    gc.collect()  # what was mapped lives as long as the value
    assert same(first, value)
    assert same(second, value)
