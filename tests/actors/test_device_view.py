from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from headwater.actors.devices.node_agent import processes_of
from headwater.actors.work.device_view import has_children, show, view_of
from headwater.core.attempt_mark import VARIABLE
from headwater.wire.calls import AttemptOrder, Payload


def an_order(*devices: str, gpus_milli: int = 1000) -> AttemptOrder:
    words = dict.fromkeys(("run_id", "name", "project", "principal", "function", "code_version", "bundle"), "x")
    facts = {"fence": 7, "step_id": "r/1", "ordinal": 1, "attempt": 1, "arguments": Payload(), "node": "n"}
    return msgspec.convert({**words, **facts, "devices": devices, "gpus_milli": gpus_milli}, AttemptOrder)


def test_real_devices_are_shown_and_logical_ones_are_none() -> None:
    assert view_of(an_order("GPU-1", "GPU-2"))["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert view_of(an_order("n/0"))["CUDA_VISIBLE_DEVICES"] == ""
    assert view_of(an_order(gpus_milli=0))["CUDA_VISIBLE_DEVICES"] == ""


def test_a_share_of_a_device_is_a_share_of_its_memory_and_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", VARIABLE):
        monkeypatch.setenv(name, "before")
    show(view_of(an_order("GPU-1", gpus_milli=250)))
    assert os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.25"
    assert os.environ["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    show(view_of(an_order("GPU-1")))
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in os.environ


def test_a_process_left_behind_is_known_by_its_mark_for_as_long_as_it_lives() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={VARIABLE: "r/1:7"})
    assert has_children()
    while child.pid not in processes_of("r/1:7"):
        assert child.poll() is None
    child.communicate(b"\n")
    assert processes_of("r/1:7") == []
