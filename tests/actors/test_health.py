"""What reads the health of devices: marks of logical ones, and a driver that stands in for NVML."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from headwater.actors.devices.health import MarkedHealth, NvmlHealth
from headwater.core.device_health import DeviceHealth


def test_a_logical_device_is_as_its_mark_says(tmp_path: Path) -> None:
    reader = MarkedHealth(tmp_path, "n")
    assert reader.read() == ()
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "0.json").write_text('{"temperature_c": 95, "xids": [79]}')
    (tmp_path / "n" / "1.json").write_text('{"temperature": 95}')
    (tmp_path / "n" / "2.json").write_text('{"silent": "GPU is lo')
    assert reader.read() == (DeviceHealth(device="n/0", temperature_c=95, xids=(79,)),)


class DriverError(Exception):
    pass


class Driver:
    """Two devices as NVML tells of them: handles are numbers, ids are bytes in older drivers."""

    NVMLError = DriverError
    NVML_TEMPERATURE_GPU = NVML_MEMORY_ERROR_TYPE_UNCORRECTED = NVML_VOLATILE_ECC = 0
    nvmlEventTypeXidCriticalError = 8

    def __init__(self) -> None:
        self.temperatures, self.errors, self.events, self.registered = {0: 40, 1: 41}, {0: 3}, list[Any](), list[int]()

    def nvmlEventSetCreate(self) -> str:
        return "events"

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> bytes | str:
        return (b"GPU-a", "GPU-b")[handle]

    def nvmlDeviceRegisterEvents(self, handle: int, types: int, events: str) -> None:
        if handle == 1:
            raise DriverError("Not Supported")
        self.registered.append(handle)

    def nvmlEventSetWait(self, events: str, timeout_ms: int) -> Any:
        if not self.events:
            raise DriverError("Timeout")
        return self.events.pop(0)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        if handle not in self.temperatures:
            raise DriverError("GPU is lost")
        return self.temperatures[handle]

    def nvmlDeviceGetTotalEccErrors(self, handle: int, kind: int, counter: int) -> int:
        if handle not in self.errors:
            raise DriverError("Not Supported")
        return self.errors[handle]


def test_real_devices_are_asked_for_temperature_memory_errors_and_xids() -> None:
    driver = Driver()
    reader = NvmlHealth(driver)
    assert driver.registered == [0]
    driver.events += [SimpleNamespace(device=0, eventData=79), SimpleNamespace(device=0, eventData=48)]
    first, second = reader.read()
    assert first == DeviceHealth(device="GPU-a", temperature_c=40, ecc_uncorrected=3, xids=(79, 48))
    assert second == DeviceHealth(device="GPU-b", temperature_c=41)  # without such memory
    del driver.temperatures[0]
    assert reader.read()[0] == DeviceHealth(device="GPU-a", xids=(79, 48), silent="GPU is lost")
