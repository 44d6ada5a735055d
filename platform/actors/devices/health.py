"""How the devices of a node are: by NVML where they are real, by marks in a folder where they are logical."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from ...core.device_health import DeviceHealth

XIDS_MAX: Final = 1_000  # of one device that are kept in memory

log = logging.getLogger("headwater.node_agent")


class HealthReader(Protocol):
    def read(self) -> tuple[DeviceHealth, ...]:
        """Each device as it is now. Blocking, a few milliseconds."""


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says of a logical device."""

    temperature_c: int | None = None
    ecc_uncorrected: int = 0
    xids: tuple[int, ...] = ()
    silent: str = ""


class MarkedHealth:
    """Logical devices are as well as their marks say: `FOLDER/NODE/NUMBER.json` with the fields of a `Mark`."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._node = folder / node, node

    def read(self) -> tuple[DeviceHealth, ...]:
        return tuple(found for path in sorted(self._folder.glob("*.json")) if (found := self._marked(path)) is not None)

    def _marked(self, path: Path) -> DeviceHealth | None:
        try:
            mark = msgspec.json.decode(path.read_bytes(), type=Mark)
        except (msgspec.DecodeError, OSError) as error:  # somebody is writing it, or has misspelt it
            log.warning("The mark %s is not understood: %s", path, error)
            return None
        return DeviceHealth(device=f"{self._node}/{path.stem}", **msgspec.structs.asdict(mark))


class NvmlHealth:
    """`nvml` is the binding. Critical XID errors are those since this was made; a question that a device does not know
    has no answer, and one that it does not answer any more makes it silent."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._ids: list[tuple[str, Any]] = []
        self._xids: defaultdict[str, list[int]] = defaultdict(list)
        self._events = nvml.nvmlEventSetCreate()
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            self._ids.append((_text(nvml.nvmlDeviceGetUUID(handle)), handle))
            try:
                nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, self._events)
            except nvml.NVMLError as error:
                log.warning("Device %s does not tell of XID errors: %s", self._ids[-1][0], error)

    def read(self) -> tuple[DeviceHealth, ...]:
        self._hear()
        return tuple(self._of(device, handle) for device, handle in self._ids)

    def _hear(self) -> None:
        """The XID errors since the last look."""
        for _ in range(XIDS_MAX):
            try:
                event = self._nvml.nvmlEventSetWait(self._events, 0)
            except self._nvml.NVMLError:  # there is none
                return
            heard = self._xids[_text(self._nvml.nvmlDeviceGetUUID(event.device))]
            if len(heard) < XIDS_MAX:
                heard.append(int(event.eventData))

    def _of(self, device: str, handle: Any) -> DeviceHealth:
        nvml, xids = self._nvml, tuple(self._xids[device])
        try:
            temperature_c = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        except nvml.NVMLError as error:
            return DeviceHealth(device=device, xids=xids, silent=str(error))
        try:
            ecc = nvml.nvmlDeviceGetTotalEccErrors(
                handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            )
        except nvml.NVMLError:  # it has no such memory
            ecc = 0
        return DeviceHealth(device=device, temperature_c=temperature_c, ecc_uncorrected=ecc, xids=xids)


def opened() -> NvmlHealth | None:
    """What reads this machine's devices; None where there is no driver. The binding is the one that Ray brings."""
    try:
        from ray._private.thirdparty import pynvml

        pynvml.nvmlInit()  # type: ignore[no-untyped-call]
        return NvmlHealth(pynvml)
    except Exception as error:  # without a driver there is nothing to be ill
        log.info("The health of GPUs is not read: %s", error)
        return None


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
