"""A 200 MB array of random floats kept and fetched as a step's result, beside writing and mapping its raw bytes.

Both are fsync'd. Goals: keeping at most 1.5x, fetching at most 0.05 s.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from lab import p50, verdict
from speed import loop_s

from headwater.artifacts.files import Files
from headwater.artifacts.payloads import content_of, payload_of
from headwater.sdk.running.serialise import decode, encode

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
FOLDER = sys.argv[2] if len(sys.argv) > 2 else None
FLOATS = 25_000_000
SAVE_GOAL, LOAD_GOAL_S = 1.5, 0.05


def raw_s(array: np.ndarray, path: Path) -> tuple[float, float]:
    """Seconds to write the bytes durably, and to map them and see the last one."""
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(memoryview(array).cast("B"))
        file.flush()
        os.fsync(file.fileno())
    written = time.perf_counter()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[-1] is not None
    read = time.perf_counter()
    path.unlink()
    return written - began, read - written


def kept_s(array: np.ndarray, files: Files) -> tuple[float, float]:
    """Seconds to keep the array as a step's result, and to have it again."""
    began = time.perf_counter()
    payload = payload_of(files, encode(array, place="the result"))
    kept = time.perf_counter()
    again = decode(payload.codec, content_of(files, payload))
    assert again[-1] == array[-1]
    fetched = time.perf_counter()
    assert payload.digest is not None
    files.path(payload.digest).unlink()
    return kept - began, fetched - kept


def main() -> None:
    generator = np.random.default_rng(1)
    pairs = []
    with tempfile.TemporaryDirectory(prefix="hwbench", dir=FOLDER) as folder:
        files = Files(Path(folder) / "artifacts")
        for _ in range(ROUNDS):
            array = generator.random(FLOATS)
            pairs.append((raw_s(array, Path(folder) / "raw"), kept_s(array, files)))
    raw_save, raw_load = (p50([raw[index] for raw, _ in pairs]) for index in range(2))
    save, fetch = (p50([kept[index] for _, kept in pairs]) for index in range(2))
    print(f"loop of 10 M additions {loop_s():.2f} s; {ROUNDS} rounds, alternating; {FLOATS * 8 / 1e6:.0f} MB")
    print(f"{'':12}{'save s':>10}{'load s':>10}")
    print(f"{'raw bytes':12}{raw_save:10.3f}{raw_load:10.5f}")
    print(f"{'artifact':12}{save:10.3f}{fetch:10.5f}")
    holds = save <= SAVE_GOAL * raw_save and fetch <= LOAD_GOAL_S
    verdict("artifacts", value=save, unit="s", floor=raw_save, goal=SAVE_GOAL, holds=holds, load_s=round(fetch, 5))


if __name__ == "__main__":
    main()
