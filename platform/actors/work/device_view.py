"""What user code sees of the devices: those of its attempt and no others, and of a shared one a share.

Set before user code runs, since frameworks read it when they are imported. A share of a device's memory is kept by JAX
(`XLA_PYTHON_CLIENT_MEM_FRACTION`) and TensorFlow (grows as needed), one of its cores by CUDA's MPS where that runs;
torch reads no variable for it and is told by user code (`torch.cuda.set_per_process_memory_fraction`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...core.attempt_mark import VARIABLE, mark_of
from ...core.gpu_messages import is_logical
from ...wire.calls import AttemptOrder

WHOLE: Final = 1000
SHARED: Final = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "TF_FORCE_GPU_ALLOW_GROWTH", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE")
CHILDREN: Final = Path("/proc/self/task")


def view_of(order: AttemptOrder) -> dict[str, str]:
    """The variables for this attempt; those of `SHARED` that are not there must not be there."""
    view = {VARIABLE: mark_of(order.step_id, order.fence), "CUDA_VISIBLE_DEVICES": ",".join(real_devices(order))}
    if 0 < order.gpus_milli < WHOLE:
        share = f"{order.gpus_milli / WHOLE:g}"
        percent = str(max(1, order.gpus_milli * 100 // WHOLE))
        view |= dict(zip(SHARED, (share, "true", percent), strict=True))
    return view


def real_devices(order: AttemptOrder) -> list[str]:
    return [device for device in order.devices if not is_logical(order.node, device)]


def show(view: Mapping[str, str]) -> None:
    for name in SHARED:
        os.environ.pop(name, None)
    os.environ.update(view)


def has_children() -> bool:
    """Whether a process lives that this one has started."""
    return any(_lives(pid) for thread in CHILDREN.glob("*/children") for pid in _read(thread).split())


def _lives(pid: str) -> bool:
    state = _read(Path("/proc", pid, "stat")).rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""
