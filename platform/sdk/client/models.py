"""Models by name: what they predict. Features become columns of the types that the model takes."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import msgspec

from ...errors import InvalidInput
from ...wire.api.commands import CommandView
from .call import Call, Program, checked
from .inventory import status
from .orders import order

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from ...wire.v2 import Signature
    from ..register import Serving
    from .async_link import AsyncLink
    from .link import Link

    Array: TypeAlias = npt.NDArray[Any]
    Features: TypeAlias = pa.Table | pa.RecordBatch | Mapping[str, Any] | Array


class ModelHandle:
    def __init__(self, link: Link, name: str) -> None:
        self._link, self.name = link, name

    def predict(self, features: Features) -> dict[str, Array]:
        """The outputs by name. Features are a pa.Table, a dict of columns, or an array with a column per input."""
        return self._link.do(predict(self.name, features))

    def alias(self, alias: str, version: int) -> None:
        """From now on `alias` stands for that version, and what listens to it starts."""
        self._link.do(move_alias(self.name, alias, version))

    def serve(self, serving: Serving | None = None, *, version: int | None = None) -> None:
        """Serves that version, the newest if none is given; without `serving` with as many replicas as before."""
        self._link.do(serve(self.name, serving, version))

    def unserve(self) -> None:
        """Ends its replicas; what they leased is free."""
        self._link.do(order("deployment.remove", {"name": self.name}))


class AsyncModelHandle:
    def __init__(self, link: AsyncLink, name: str) -> None:
        self._link, self.name = link, name

    def predict(self, features: Features) -> Awaitable[dict[str, Array]]:
        return self._link.do(predict(self.name, features))

    async def alias(self, alias: str, version: int) -> None:
        await self._link.do(move_alias(self.name, alias, version))

    async def serve(self, serving: Serving | None = None, *, version: int | None = None) -> None:
        await self._link.do(serve(self.name, serving, version))

    async def unserve(self) -> None:
        await self._link.do(order("deployment.remove", {"name": self.name}))


class Metadata(msgspec.Struct, frozen=True):
    """What `/v2/models/NAME` says."""

    name: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def move_alias(name: str, alias: str, version: int) -> Program[CommandView]:
    return order("model.alias", {"name": name, "alias": alias, "version": version})


def serve(name: str, serving: Serving | None, version: int | None) -> Program[CommandView]:
    asked: dict[str, Any] = {"name": name} | ({} if version is None else {"version": version})
    if serving is not None:
        asked |= {"gpus_milli": 0, "gpu_model": "", "tier": 0} | serving.asked()
    return order("deployment.apply", asked)


def predict(name: str, features: Features) -> Program[dict[str, Array]]:
    """The model's outputs by name. Columns are cast to the model's types where nothing is lost."""
    from ...wire import v2

    base = (yield from status()).inference_url
    path = f"/v2/models/{quote(name, safe='')}"
    signature = signature_of(checked((yield Call("GET", path, base=base))))
    fitted = v2.fit(columns_of(features, signature), signature)
    body = v2.encode_request(fitted)
    call = Call("POST", f"{path}/infer", {"Content-Type": "application/json"}, body, base=base)
    return v2.decode_response(checked((yield call)))


def signature_of(raw: bytes) -> Signature:
    from ...wire.v2 import Signature, Tensor

    said = msgspec.json.decode(raw, type=Metadata)
    return Signature(
        inputs=msgspec.convert(said.inputs, tuple[Tensor, ...]),
        outputs=msgspec.convert(said.outputs, tuple[Tensor, ...]),
    )


def columns_of(features: Features, signature: Signature) -> dict[str, Array]:
    """The features as arrays of the model's types, by input name; columns that the model does not take are left out
    of a table, and refused in a mapping."""
    wanted = {tensor.name: tensor.datatype for tensor in signature.inputs}
    return {name: _cast(name, values, wanted.get(name)) for name, values in _given(features, list(wanted)).items()}


def _given(features: Any, wanted: list[str]) -> Mapping[str, Any]:
    """The columns by name. Neither NumPy nor Arrow is imported to tell which of them it is."""
    if isinstance(features, Mapping):
        return features
    if hasattr(features, "schema"):
        return {name: _arrow_values(features.column(name)) for name in features.schema.names if name in wanted}
    return _by_position(features, wanted)


def _by_position(matrix: Array, names: list[str]) -> dict[str, Any]:
    if len(names) == 1:
        return {names[0]: matrix}
    if getattr(matrix, "ndim", 0) != 2 or matrix.shape[1] != len(names):
        shape = list(getattr(matrix, "shape", ()))
        what = f"An array of shape {shape} does not fit a model with {len(names)} inputs"
        raise InvalidInput(what, remedy=f"Give one column for each of {', '.join(names)}, or a dict by name.")
    return {name: matrix[:, index] for index, name in enumerate(names)}


def _arrow_values(column: pa.ChunkedArray | pa.Array) -> Any:
    """A column as NumPy; a missing number is NaN, a missing text empty."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [text or "" for text in column.to_pylist()]
    return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()


def _cast(name: str, values: Any, datatype: str | None) -> Array:
    import numpy as np

    from ...wire.v2 import DTYPES, misfit

    array = np.asarray(values)
    if datatype is None:
        return array
    dtype = DTYPES[datatype]
    if array.dtype == dtype:
        return array
    if dtype.kind == "O" or not array.size or (array.dtype.kind in "biuf" and _keeps(array, dtype)):
        return array.astype(dtype)
    raise misfit(name, array, datatype)


def _keeps(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether the cast loses no more than float precision."""
    import numpy as np

    if dtype.kind == "f":
        return True
    return bool(array.dtype.kind != "f" and np.array_equal(array.astype(dtype), array))
