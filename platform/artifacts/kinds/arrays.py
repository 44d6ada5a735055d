"""NumPy arrays as `.npy` files, whose numbers lie at a multiple of 64 bytes: mapped, not read."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final

from ..encoded import Encoded, of_parts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

KINDS: Final = "biufcmMSUV"
HEADER_MAX_BYTES: Final = 1 << 17


class ArrayCodec:
    """Takes plain arrays; arrays of objects and subclasses are pickled."""

    name = "numpy"

    def encode(self, value: Any) -> Encoded | None:
        np = sys.modules.get("numpy")
        if np is None or type(value) is not np.ndarray or not _is_portable(value.dtype):
            return None
        header = io.BytesIO()
        array = value if value.flags.c_contiguous or value.flags.f_contiguous else np.ascontiguousarray(value)
        try:
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
        except ValueError:  # a type with a description of more than 64 KiB
            return None
        about = {"type": "numpy.ndarray", "dtype": str(array.dtype), "shape": list(array.shape)}
        return of_parts(self.name, header.getvalue(), bytes_of(array), about=about)

    def decode(self, content: memoryview) -> npt.NDArray[Any]:
        import numpy as np

        (shape, fortran, dtype), offset = header_of(content)
        numbers = content[offset:] or None  # of an empty array there are none
        return np.ndarray(shape, dtype, numbers, order="F" if fortran else "C")


def header_of(content: memoryview) -> tuple[tuple[tuple[int, ...], bool, np.dtype[Any]], int]:
    """(shape, whether in Fortran's order, type) of a `.npy` file, and where its numbers begin."""
    import numpy as np

    head = io.BytesIO(content[:HEADER_MAX_BYTES])
    np.lib.format.read_magic(head)
    return np.lib.format.read_array_header_1_0(head), head.tell()


def bytes_of(array: npt.NDArray[Any]) -> memoryview:
    """The memory of a contiguous array, whatever its type."""
    import numpy as np

    flat = array.reshape(-1) if array.flags.c_contiguous else array.T.reshape(-1)
    return flat.view(np.uint8).data if flat.nbytes else memoryview(b"")


def _is_portable(dtype: np.dtype[Any]) -> bool:
    """Whether a `.npy` header brings back the same type."""
    import numpy as np

    if dtype.hasobject or dtype.metadata or dtype.kind not in KINDS or not dtype.itemsize:
        return False
    return bool(np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) == dtype)


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    import numpy as np

    return np.empty(shape, dtype)
