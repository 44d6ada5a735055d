"""Values in transit: equal, with their types, large buffers in place, and what cannot be sent named by its path."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.artifacts.files import Files
from headwater.artifacts.payloads import content_of, payload_of
from headwater.errors import InvalidInput
from headwater.sdk.running.serialise import decode, encode

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
TREES = st.recursive(LEAVES, lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids) | st.tuples(kids, kids))


@dataclass
class Trained:
    weights: Any
    notes: dict[str, Any] = field(default_factory=dict)


def there_and_back(value: Any, files: Files) -> tuple[Any, str]:
    payload = payload_of(files, encode(value, place="the result"))
    return decode(payload.codec, content_of(files, payload)), payload.codec


@given(TREES)
def test_plain_values_keep_their_types(value: Any) -> None:
    encoded = encode(value, place="the result")
    back = decode(encoded.codec, memoryview(bytearray(encoded.content)))
    assert repr(back) == repr(value)


def test_large_buffers_inside_an_object_are_mapped_and_writable(tmp_path: Path) -> None:
    made = Trained(np.arange(100_000.0), {"table": pa.table({"n": np.arange(50_000)})})
    back, codec = there_and_back(made, Files(tmp_path))
    assert codec == "frames"
    assert np.array_equal(back.weights, made.weights)
    assert back.notes["table"].equals(made.notes["table"])
    assert not back.weights.flags.owndata
    back.weights[0] = 7.0
    assert there_and_back(made, Files(tmp_path))[0].weights[0] == 0.0


def test_compression_is_used_where_it_pays(tmp_path: Path) -> None:
    repeated, random = list(range(200_000)), np.random.default_rng(1).bytes(300_000)
    files = Files(tmp_path)
    for value, smaller in ((repeated, True), ([random], False)):
        encoded = encode(value, place="x")
        back, _ = there_and_back(value, files)
        assert back == value
        assert (encoded.codec == "frames") is smaller
    assert encode(repeated, place="x").size_bytes < 0.75 * 5 * 200_000


def test_what_a_value_is_can_be_told_without_reading_it() -> None:
    assert encode({"mae": 3.5}, place="x").about == {"type": "dict", "value": {"mae": 3.5}}
    assert encode(np.zeros((2, 3)), place="x").about == {"type": "numpy.ndarray", "dtype": "float64", "shape": [2, 3]}
    assert encode(Trained(1), place="x").about["type"].endswith("test_serialise.Trained")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (
            {"m": [Trained({"lock": threading.Lock()})]},
            r"the result\['m'\]\[0\].weights\['lock'\] is a _thread.lock",
        ),
        ((1, (2, lambda: 3)), r"the result\[1\]\[1\] is a builtins.function"),
        (np.array([1, threading.Lock()], dtype=object), "the result is a numpy.ndarray, which cannot be sent"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_path(value: object, path: str) -> None:
    with pytest.raises(InvalidInput, match=path):
        encode(value, place="the result")


def test_an_open_file_is_named_by_its_path(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file, pytest.raises(InvalidInput, match=r"the result\['log'\] is a _io.Text"):
        encode({"log": file}, place="the result")
