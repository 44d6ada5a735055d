"""The same four jobs on Metaflow and on Headwater, side by side on this machine, in one table.

Each is a process of its own, from its start to its end: `python FLOW.py run` there, a client that starts a run and
waits for its result here. Metaflow has its local metadata and datastore and an environment of its own (.bench/, from
bench/peers/requirements.lock, every hash checked). Headwater's platform is up before, and the one-off time for
that is told; both sides have run small jobs before anything is measured, and they take turns.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lab import p50, platform, verdict
from speed import loop_s

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
HERE: Final = Path(__file__).parent
PEERS, KEPT = HERE / "peers", HERE.parent / ".bench"
FEW, FLOATS = 3, 25_000_000
MORE: Final = (5, 100)  # so many steps more there and here: five of ours are lost in the noise of a process
GOAL: Final = 1.0
WARMING: Final = ("straight", "small")
CLIENT = """
import json, sys
from headwater.sdk import Client
with Client(sys.argv[1], sys.argv[2]) as hw:
    hw.run(sys.argv[3], json.loads(sys.argv[4])).result(timeout=600)
"""
Sample = Mapping[str, float]
JOBS: Final[dict[str, tuple[str, list[str], str, str]]] = {
    "straight": ("straight.py", [], "straight", f'{{"steps": {FEW}}}'),
    "longer": ("longer.py", [], "straight", f'{{"steps": {FEW + MORE[1]}}}'),
    "fan_out": ("fan_out.py", [], "fan_out", "{}"),
    "large": ("handed_on.py", ["--kept", str(FLOATS)], "handed_on", f'{{"kept": {FLOATS}}}'),
    "small": ("handed_on.py", ["--kept", "1"], "handed_on", '{"kept": 1}'),
}
ROWS: Final[dict[str, Callable[[Sample, int], float]]] = {
    "a flow of three steps": lambda took, more: took["straight"],
    "one more step": lambda took, more: (took["longer"] - took["straight"]) / more,
    "fan-out of 100 and a join": lambda took, more: took["fan_out"],
    "200 MB handed to the next step": lambda took, more: took["large"] - took["small"],
}


def main() -> None:
    python = environment()
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        began = time.perf_counter()
        with platform(flows=PEERS / "headwater_flows") as (supervisor, _):
            up_s = time.perf_counter() - began
            door = [supervisor.url, supervisor.home.token()]
            one_round(python, Path(folder), door, WARMING)
            samples = [one_round(python, Path(folder), door, tuple(JOBS)) for _ in range(ROUNDS)]
    print(
        f"loop of 10 M additions {loop_s():.2f} s; median of {ROUNDS} rounds; Headwater up and deployed in {up_s:.1f} s"
    )
    print(f"{'seconds':34}{'Metaflow':>10}{'Headwater':>11}{'ours/theirs':>13}")
    ratios = {}
    for name, seconds in ROWS.items():
        theirs, ours = (p50([seconds(sample[side], MORE[side]) for sample in samples]) for side in (0, 1))
        ratios[name] = round(ours / theirs, 3)
        print(f"{name:34}{theirs:10.3f}{ours:11.3f}{ours / theirs:13.3f}")
    worst = max(ratios.values())
    verdict("side_by_side", value=worst, unit="of Metaflow's time", floor=1.0, goal=GOAL, holds=worst <= GOAL,
            ratios=ratios, up_s=round(up_s, 1))  # fmt: skip


def environment() -> Path:
    """The interpreter of Metaflow's environment, made anew where its lock has changed."""
    lock = PEERS / "requirements.lock"
    folder = KEPT / f"metaflow-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    python, made = folder / "bin" / "python", folder / "made"
    if not made.exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        sync = [*uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)]
        subprocess.run(sync, check=True)
        made.touch()
    return python


def one_round(python: Path, folder: Path, door: list[str], jobs: Sequence[str]) -> tuple[Sample, Sample]:
    """Seconds of each job: Metaflow's, and Headwater's."""
    theirs, ours = {}, {}
    for name in jobs:
        script, options, flow, parameters = JOBS[name]
        flow_file = str(PEERS / "metaflow_flows" / script)
        theirs[name] = process_s([str(python), flow_file, "--quiet", "run", *options], folder)
        ours[name] = process_s([sys.executable, "-c", CLIENT, *door, flow, parameters], folder)
    return theirs, ours


def process_s(argv: list[str], folder: Path) -> float:
    """Seconds of a whole process, in a folder where Metaflow keeps all that is its own."""
    surroundings = {**os.environ, "HOME": str(folder), "METAFLOW_HOME": str(folder / ".metaflowconfig")}
    surroundings |= {"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder), "METAFLOW_USER": "bench"}
    began = time.perf_counter()
    subprocess.run(argv, check=True, cwd=folder, env=surroundings, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
