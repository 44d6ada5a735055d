"""What replay asks of the processes that run user code: a set has the same order wherever a run is played back."""

from __future__ import annotations

import os
import subprocess
import sys

from headwater.sdk import Client


def test_hosts_and_workers_hash_alike_in_every_life(hw: Client) -> None:
    words = [sys.executable, "-c", "print(hash('delay'))"]
    hashed = subprocess.run(words, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, check=True)
    assert hw.run("eta/hash_twice", {"word": "delay"}).result(60) == [int(hashed.stdout)] * 2
