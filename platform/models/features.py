"""Feature transforms: declared once, fitted in one pass over batches, the same offline and in the graph.

    Features(target, columns) ──fit(batches)──► FittedFeatures ──transform(batch)──► float32 (rows, columns)
                                                       └───────► feature_graph.fuse ──► one ONNX graph

Every column becomes one float32 number, so any learner of dense tables fits behind it:
- Number: the value; null, NaN and what float32 cannot hold become `fill`.
- Category: 2 + its place among the values seen, the most frequent first; 1 for a value never seen; 0 for null and
  the empty string, which are the same here because the inference protocol has no null strings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidInput, did_you_mean

Matrix = npt.NDArray[np.float32]

MISSING, UNSEEN, FIRST_CODE = 0, 1, 2
DISTINCT_MAX = 100_000
FILL_MAX = float(np.finfo(np.float32).max)


class Number(msgspec.Struct, frozen=True):
    """A numeric column. `fill` stands in for missing values, "mean" for the mean of the training rows."""

    name: str
    fill: float | Literal["mean"] = 0.0
    datatype: Literal["FP64", "FP32", "INT64"] = "FP64"

    def __post_init__(self) -> None:
        if self.fill != "mean" and not abs(self.fill) <= FILL_MAX:
            what = f"The fill of '{self.name}' is {self.fill}, which float32 cannot hold"
            raise InvalidInput(what, remedy='Give a finite number, or "mean".')


class Category(msgspec.Struct, frozen=True):
    """A text column. Only its `size_max` most frequent values are told apart."""

    name: str
    size_max: int = 1024


class FittedNumber(msgspec.Struct, frozen=True, tag="number", tag_field="kind"):
    name: str
    fill: float
    datatype: Literal["FP64", "FP32", "INT64"]

    def transform(self, column: pa.Array) -> Matrix:
        """The values as float32, missing ones filled."""
        with np.errstate(over="ignore"):
            values: Matrix = _floats(self.name, column).astype(np.float32)
        values[~np.isfinite(values)] = self.fill
        return values


class FittedCategory(msgspec.Struct, frozen=True, tag="category", tag_field="kind"):
    name: str
    vocabulary: tuple[str, ...]

    def transform(self, column: pa.Array) -> Matrix:
        """The values' codes as float32."""
        texts = _texts(self.name, column)
        if isinstance(texts, pa.DictionaryArray):
            places = pc.fill_null(texts.indices, len(texts.dictionary)).to_numpy(zero_copy_only=False)
            codes: Matrix = np.append(self._codes(texts.dictionary), np.float32(MISSING))[places]
            return codes
        return self._codes(texts)

    def _codes(self, texts: pa.Array) -> Matrix:
        places = pc.index_in(texts, value_set=pa.array(self.vocabulary, texts.type))
        codes: Matrix = pc.cast(pc.fill_null(places, UNSEEN - FIRST_CODE), pa.float32()).to_numpy(zero_copy_only=False)
        codes = codes + np.float32(FIRST_CODE)
        missing = pc.fill_null(pc.equal(texts, pa.scalar("", texts.type)), True)
        codes[missing.to_numpy(zero_copy_only=False)] = MISSING
        return codes


class FittedFeatures(msgspec.Struct, frozen=True):
    """The transforms with what they learned; part of the model, and of its document."""

    target: str
    target_mean: float
    rows: int
    columns: tuple[FittedNumber | FittedCategory, ...]

    def transform(self, batch: pa.RecordBatch) -> Matrix:
        """The features, one row for each of the batch, one column for each declared."""
        matrix = np.empty((batch.num_rows, len(self.columns)), np.float32)
        for place, column in enumerate(self.columns):
            matrix[:, place] = column.transform(_column(batch, column.name))
        return matrix

    def labelled(self, batch: pa.RecordBatch) -> tuple[Matrix, Matrix]:
        """Features and target of the rows whose target is known."""
        batch = with_target(batch, self.target)
        return self.transform(batch), _floats(self.target, _column(batch, self.target)).astype(np.float32)


class Features(msgspec.Struct, frozen=True):
    """What a model predicts, and from which columns."""

    target: str
    columns: Sequence[Number | Category]

    def __post_init__(self) -> None:
        counts = Counter([self.target, *(column.name for column in self.columns)])
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise InvalidInput(f"Column '{twice[0]}' is declared twice", remedy="The target is no feature.")

    def fit(
        self, batches: Iterable[pa.RecordBatch], *, on_rows: Callable[[int], None] = lambda rows: None
    ) -> FittedFeatures:
        """The transforms after one pass over the rows whose target is known.

        `on_rows` hears how many rows have passed. Raises InvalidInput naming a column that is missing or of a
        type that does not fit, or when there is no row to learn from.
        """
        target = _NumberFit(Number(self.target, fill="mean"))
        fits = [_NumberFit(one) if isinstance(one, Number) else _CategoryFit(one) for one in self.columns]
        rows = 0
        for batch in batches:
            known = with_target(batch, self.target)
            for fit in [target, *fits]:
                fit.add(_column(known, fit.column.name))
            rows += batch.num_rows
            on_rows(rows)
        if not target.count:
            raise InvalidInput(f"No row has a value in the target '{self.target}'", remedy="Check the table's filter.")
        return FittedFeatures(self.target, target.fitted().fill, target.count, tuple(fit.fitted() for fit in fits))


class _NumberFit:
    def __init__(self, column: Number) -> None:
        self.column, self.total, self.count = column, 0.0, 0

    def add(self, values: pa.Array) -> None:
        floats = _floats(self.column.name, values)
        with np.errstate(over="ignore"):
            known = floats[np.isfinite(floats.astype(np.float32))]
        self.total += float(known.sum())
        self.count += len(known)

    def fitted(self) -> FittedNumber:
        mean = self.total / self.count if self.count else 0.0
        fill = mean if self.column.fill == "mean" else self.column.fill
        return FittedNumber(self.column.name, float(np.float32(fill)), self.column.datatype)


class _CategoryFit:
    def __init__(self, column: Category) -> None:
        self.column, self.counts = column, Counter[str]()

    def add(self, values: pa.Array) -> None:
        texts = _texts(self.column.name, values)
        for pair in pc.value_counts(texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts):
            self.counts[pair["values"].as_py() or ""] += pair["counts"].as_py()
        if len(self.counts) > DISTINCT_MAX:
            what = f"Column '{self.column.name}' has more than {DISTINCT_MAX} different values: it is no category"
            raise InvalidInput(what, remedy="Leave it out, or group its values first.")

    def fitted(self) -> FittedCategory:
        del self.counts[""]
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return FittedCategory(self.column.name, tuple(value for value, _ in ordered[: self.column.size_max]))


def with_target(batch: pa.RecordBatch, target: str) -> pa.RecordBatch:
    """The rows whose target is known: neither null nor NaN."""
    column = _column(batch, target)
    if column.null_count == 0 and not pa.types.is_floating(column.type):
        return batch
    return batch.filter(pc.is_finite(column))


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        raise InvalidInput(f"The table has no column '{name}'", remedy=did_you_mean(name, batch.schema.names))
    return batch.column(name)


def _floats(name: str, column: pa.Array) -> npt.NDArray[np.float64]:
    kind = column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (numeric or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise InvalidInput(f"Column '{name}' is {kind}, not a number", remedy="Declare text as a Category.")
    floats: npt.NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return floats


def _texts(name: str, column: pa.Array) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_null(kind):
        return pc.cast(column, pa.string())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InvalidInput(f"Column '{name}' is {kind}, not text", remedy="Declare numbers as a Number.")
    return pc.cast(column, pa.string()) if pa.types.is_string_view(kind) else column
