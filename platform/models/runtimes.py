"""How a model's folder becomes predictions. Another kind of model is another entry of RUNTIMES."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..errors import InvalidInput, NotFound, Unavailable, did_you_mean
from ..wire.v2 import Array, Signature, Tensor
from .package import ONNX_FILE, ModelDocument, read_document


class Runtime(Protocol):
    """A loaded model. `predict` takes columns that fit `signature`, and may be called from several threads."""

    @property
    def signature(self) -> Signature: ...

    def predict(self, columns: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        """The named outputs, or all of them, by name."""
        ...


class OnnxRuntime:
    """ONNX Runtime with a bounded number of threads: on the CPU, or on the devices that this process sees."""

    def __init__(self, path: Path, *, threads: int = 1, devices: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise Unavailable("onnxruntime is not installed", remedy="pip install 'headwater[onnx]'") from None
        if not path.is_file():
            raise NotFound(f"There is no model at {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, _providers(devices))
        except Exception as error:  # its errors share no base of their own
            raise InvalidInput(f"{path} is no ONNX model that runs here: {error}") from None
        inputs = tuple(tensor_of(one.name, one.type, one.shape) for one in self._session.get_inputs())
        outputs = tuple(tensor_of(one.name, one.type, one.shape) for one in self._session.get_outputs())
        self._signature = Signature(inputs, outputs)

    @property
    def signature(self) -> Signature:
        return self._signature

    def predict(self, columns: Mapping[str, Array], outputs: Sequence[str] = ()) -> dict[str, Array]:
        names = list(outputs) or [tensor.name for tensor in self._signature.outputs]
        return dict(zip(names, self._session.run(names, dict(columns)), strict=True))


def _providers(devices: bool) -> list[str]:
    """Of those that this build of ONNX Runtime has, the GPU's first where there are devices."""
    import onnxruntime

    on_devices = [name for name in GPU_PROVIDERS if devices and name in onnxruntime.get_available_providers()]
    return [*on_devices, "CPUExecutionProvider"]


def _load_onnx(folder: Path, threads: int, devices: bool) -> Runtime:
    return OnnxRuntime(folder / ONNX_FILE, threads=threads, devices=devices)


GPU_PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider")
RUNTIMES: dict[str, Callable[[Path, int, bool], Runtime]] = {"onnx": _load_onnx}


def load(folder: Path, *, threads: int = 1, devices: bool = False) -> tuple[Runtime, ModelDocument]:
    """The running model of a folder, and its document. With `devices` it goes to the GPUs that this process sees."""
    document = read_document(folder)
    if document.runtime not in RUNTIMES:
        what = f"{folder} needs the runtime '{document.runtime}', which is not here"
        raise InvalidInput(what, remedy=did_you_mean(document.runtime, RUNTIMES))
    return RUNTIMES[document.runtime](folder, threads, devices), document


def tensor_of(name: str, onnx_type: str, shape: Sequence[int | str | None]) -> Tensor:
    """The v2 tensor of an ONNX Runtime input or output; a symbolic dimension is free."""
    if onnx_type not in _ONNX_TYPES:
        raise InvalidInput(f"'{name}' is {onnx_type}, which v2 cannot carry", remedy="Export plain tensors.")
    return Tensor(name, _ONNX_TYPES[onnx_type], tuple(size if isinstance(size, int) else -1 for size in shape))


_ONNX_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
