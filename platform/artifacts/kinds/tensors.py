"""Named tensors as a safetensors file: eight bytes with the header's length, a JSON header, the numbers.

Takes a `torch.Tensor`, or a dict of names to tensors or to NumPy arrays, all of one library. The format is
https://github.com/huggingface/safetensors; any reader of it reads these.
Tensors come back on the device that they were on, where it is there, and use the mapped file where that is the CPU.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...wire.terms import JSON
from ..encoded import Encoded, Part, of_parts
from .arrays import bytes_of

SINGLE: Final = "tensor"
NUMPY: Final = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "int32": "I32", "uint32": "U32",
    "int64": "I64", "uint64": "U64", "float16": "F16", "float32": "F32", "float64": "F64",
}  # fmt: skip
TORCH: Final = {**NUMPY, "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}
NAMES: Final = {tag: name for name, tag in TORCH.items()}
TENSORS_MAX: Final = 500


class TensorsCodec:
    name = "safetensors"

    def encode(self, value: Any) -> Encoded | None:
        kept = _kept(value)
        if kept is None:
            return None
        library, tensors = kept
        header: dict[str, Any] = {"__metadata__": {"library": library, "single": str(type(value) is not dict)}}
        parts: list[Part] = []
        offset = 0
        for name, tensor in tensors.items():
            part, entry = _torch_part(tensor) if library == "torch" else _numpy_part(tensor)
            header[name] = {**entry, "data_offsets": [offset, offset + part.nbytes]}
            header["__metadata__"][f"device:{name}"] = str(getattr(tensor, "device", "cpu"))
            parts.append(part)
            offset += part.nbytes
        return of_parts(self.name, _packed(header), *parts, about=about(header))

    def decode(self, content: memoryview) -> Any:
        header, offset = header_of(content)
        said = header.pop("__metadata__")
        back = _to_torch if said["library"] == "torch" else _to_numpy
        tensors = {}
        for name, entry in header.items():
            begin, end = (offset + each for each in entry["data_offsets"])
            tensors[name] = back(content[begin:end], entry, said[f"device:{name}"])
        return tensors[SINGLE] if said["single"] == "True" else tensors


def header_of(content: memoryview) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its numbers begin."""
    (length,) = struct.unpack("<Q", content[:8])
    return msgspec.json.decode(content[8 : 8 + length], type=dict[str, Any]), 8 + length


def about(header: Mapping[str, Any]) -> dict[str, JSON]:
    """What the tensors are, from the file's header."""
    tensors: dict[str, JSON] = {
        name: {"dtype": NAMES[entry["dtype"]], "shape": entry["shape"]}
        for name, entry in list(header.items())[: TENSORS_MAX + 1]
        if name != "__metadata__"
    }
    library, single = header["__metadata__"]["library"], header["__metadata__"]["single"] == "True"
    return {"type": f"{library}.Tensor" if single else f"dict of {library} tensors", "tensors": tensors}


def _kept(value: Any) -> tuple[str, Mapping[str, Any]] | None:
    """The library and the named tensors of what this codec takes."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and type(value) is torch.Tensor:
        return ("torch", {SINGLE: value}) if _fits_torch(torch, value) else None
    if type(value) is not dict or not value or not all(type(name) is str and name.isprintable() for name in value):
        return None
    if "__metadata__" in value or len({id(tensor) for tensor in value.values()}) < len(value):
        return None
    if torch is not None and all(type(each) is torch.Tensor and _fits_torch(torch, each) for each in value.values()):
        return "torch", value
    if numpy is not None and all(type(each) is numpy.ndarray and _fits_numpy(each) for each in value.values()):
        return "numpy", value
    return None


def _fits_torch(torch: Any, tensor: Any) -> bool:
    plain = tensor.layout is torch.strided and not tensor.requires_grad and not tensor.is_conj() and not tensor.is_neg()
    return bool(plain) and str(tensor.dtype).removeprefix("torch.") in TORCH


def _fits_numpy(array: Any) -> bool:
    return (
        array.dtype.isnative and array.dtype.metadata is None and array.dtype.name in NUMPY and array.flags.c_contiguous
    )


def _torch_part(tensor: Any) -> tuple[memoryview, dict[str, JSON]]:
    import torch

    here = tensor.detach().cpu().contiguous().reshape(-1)
    part = memoryview(here.view(torch.uint8).numpy()) if here.numel() else memoryview(b"")
    return part, {"dtype": TORCH[str(tensor.dtype).removeprefix("torch.")], "shape": list(tensor.shape)}


def _numpy_part(array: Any) -> tuple[memoryview, dict[str, JSON]]:
    return bytes_of(array), {"dtype": NUMPY[array.dtype.name], "shape": list(array.shape)}


def _to_torch(part: memoryview, entry: Mapping[str, Any], device: str) -> Any:
    import torch

    dtype = getattr(torch, NAMES[entry["dtype"]])
    flat = torch.frombuffer(part, dtype=dtype) if part.nbytes else torch.empty(0, dtype=dtype)
    gone = device.startswith("cuda") and not torch.cuda.is_available()
    return flat.reshape(entry["shape"]).to("cpu" if gone else device)


def _to_numpy(part: memoryview, entry: Mapping[str, Any], device: str) -> Any:
    import numpy as np

    return np.ndarray(entry["shape"], NAMES[entry["dtype"]], part if part.nbytes else None)


def _packed(header: Mapping[str, Any]) -> bytes:
    """The header, padded with blanks so that the numbers begin at a multiple of 64 bytes."""
    text = msgspec.json.encode(header)
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text
