"""Every kind of value comes back as it was, in place where it can be used in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headwater.artifacts.codec import OURS, decode, encode
from headwater.artifacts.conformance import check
from headwater.artifacts.files import Files
from headwater.artifacts.kinds.arrays import ArrayCodec
from headwater.artifacts.kinds.arrow import ArrowCodec
from headwater.artifacts.kinds.tensors import TensorsCodec
from headwater.artifacts.kinds.text import TextCodec
from headwater.artifacts.payloads import content_of, payload_of
from headwater.errors import InvalidInput, NotFound


def same_array(left: Any, right: Any) -> bool:
    alike = left.dtype == right.dtype and left.shape == right.shape
    return bool(alike and left.flags.f_contiguous == right.flags.f_contiguous and left.tobytes() == right.tobytes())


def same_arrays(left: Any, right: Any) -> bool:
    return list(left) == list(right) and all(same_array(left[name], right[name]) for name in left)


def same_table(left: pa.Table, right: pa.Table) -> bool:
    """Dictionaries of chunks may have become one."""
    alike = left.schema.equals(right.schema, check_metadata=True)
    return bool(alike and left.unify_dictionaries().equals(right.unify_dictionaries()))


def a_table(rows: int = 50_000) -> pa.Table:
    """With a column whose chunks have dictionaries of their own."""
    half = rows // 2
    words = [
        pa.array(word * half, pa.string()).dictionary_encode() for word in (["a"], [None, "b"][: 2 if half else 0])
    ]
    return pa.table({"n": pa.array(range(rows)), "word": pa.chunked_array([words[0], words[1][: rows - half]])})


STRUCTURED = np.array([(1, 2.5, b"x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "S3")])
VALUES: list[tuple[Any, Any, Callable[[Any, Any], bool]]] = [
    (ArrayCodec(), np.random.default_rng(1).random(50_000), same_array),
    (ArrayCodec(), np.asfortranarray(np.arange(60_000).reshape(200, 300)), same_array),
    (ArrayCodec(), np.array(3.5), same_array),
    (ArrayCodec(), np.zeros((0, 3), "datetime64[us]"), same_array),
    (ArrayCodec(), STRUCTURED, same_array),
    (ArrowCodec(), a_table(), same_table),
    (ArrowCodec(), a_table(0), same_table),
    (ArrowCodec(), a_table().replace_schema_metadata({"made": "here"}), same_table),
    (ArrowCodec(), pa.table({}), same_table),
    (TensorsCodec(), {"w": np.ones((30, 2), np.float32), "none": np.zeros((0, 2))}, same_arrays),
    (TextCodec(), "grün\n" * 20_000, str.__eq__),
]


@pytest.mark.parametrize(("codec", "value", "same"), VALUES, ids=lambda each: getattr(each, "name", ""))
def test_a_codec_keeps_its_promises(codec: Any, value: Any, same: Callable[[Any, Any], bool], tmp_path: Path) -> None:
    check(codec, value, same, tmp_path)


@given(arrays.arrays(arrays.array_dtypes() | arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, min_side=0)))
def test_an_array_of_any_type_keeps_type_shape_and_bytes(array: Any) -> None:
    encoded = ArrayCodec().encode(array)
    if encoded is not None:
        assert same_array(ArrayCodec().decode(memoryview(bytearray(encoded.content))), array)


def test_a_view_that_skips_is_written_as_it_looks() -> None:
    skipping = np.arange(20).reshape(4, 5)[::2, ::-1]
    encoded = encode(skipping)
    assert encoded is not None
    assert np.array_equal(decode(encoded.codec, memoryview(bytearray(encoded.content))), skipping)


def test_arrays_and_tables_are_used_where_the_file_is_mapped(tmp_path: Path) -> None:
    files = Files(tmp_path)
    array, table = np.arange(100_000), pa.table({"n": np.arange(100_000)})
    before = pa.total_allocated_bytes()
    columns = _back(files, table)["n"]
    assert pa.total_allocated_bytes() - before < 1_000
    for each in (_back(files, array), columns.chunk(0).to_numpy()):
        assert not each.flags.owndata
        assert each.ctypes.data % 8 == 0
        assert np.array_equal(each, array)


def test_writing_to_what_was_read_leaves_the_artifact_alone(tmp_path: Path) -> None:
    files = Files(tmp_path)
    mine, yours = _back(files, np.zeros(100_000)), _back(files, np.zeros(100_000))
    mine[:] = 1.0
    assert yours.sum() == 0.0
    assert _back(files, np.zeros(100_000)).sum() == 0.0


def test_what_is_larger_than_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    encoded = encode(np.zeros(1 << 20))
    assert encoded is not None
    with pytest.raises(InvalidInput, match=r"The step's result has 8 MiB, more than the limit of 1 MiB"):
        payload_of(Files(tmp_path), encoded, place="The step's result", limit_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_codec_that_is_not_installed_is_named() -> None:
    with pytest.raises(NotFound, match="no artifact codec 'parquetry'"):
        decode("parquetry", memoryview(b""))


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.lists(st.text())))
def test_plain_values_are_left_to_the_pickle(value: object) -> None:
    assert encode(value) is None


def test_names_of_codecs_are_different() -> None:
    assert len({codec.name for codec in OURS}) == len(OURS)


def _back(files: Files, value: object) -> Any:
    encoded = encode(value)
    assert encoded is not None
    payload = payload_of(files, encoded)
    assert payload.digest is not None
    return decode(payload.codec, content_of(files, payload))
