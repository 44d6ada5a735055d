"""A Scheduler made anew from its database: 100,000 steps waiting, 50,000 GPUs leased, until its first decision.

The rows lie in SQLite as a Conductor and a GpuPool leave them, written by another process. Measured is what the
actor does with them at a start: reading, the engine made of them, the first look at who may go. Seconds are CPU
time, so that neighbours do not count; memory is what the process grew to, all of Python included. The goals of 5 s
(scaled by a loop of ten million additions, 0.6 s there) and 1 GB are for the whole of it.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import written
from cluster_rows import RAY_NODE, fill
from lab import verdict
from speed import loop_cpu_s

from headwater.actors.courtesy import without_collecting
from headwater.actors.sharing.quota_desk import Ticked
from headwater.actors.sharing.quota_picture import load_desk
from headwater.store.engine import open_engine, sqlite_url
from headwater.store.reader import Reader

GOAL_S, GOAL_MB, LOOP_S = 5.0, 1000, 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=6250)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--fill", type=Path, help="only write the rows, into this file")
    chosen = parser.parse_args()
    if chosen.fill is not None:
        fill(chosen.fill, chosen.nodes, chosen.waiting)
        return
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        store = Path(folder) / "store.db"
        words = [__file__, "--nodes", chosen.nodes, "--waiting", chosen.waiting, "--fill", store]
        subprocess.run([sys.executable, *map(str, words)], check=True)
        measure(store, chosen.nodes)


def measure(store: Path, nodes: int) -> None:
    floor = loop_cpu_s()
    reader = Reader(open_engine(sqlite_url(store), read_only=True))
    with without_collecting(), reader.picture() as picture:
        began = time.process_time()
        desk = load_desk(picture, written(nodes), {RAY_NODE})
        loaded = time.process_time() - began
        turn = desk.decide(Ticked(), 1_000)
        value = time.process_time() - began
    grown_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    goal = GOAL_S * min(floor, loop_cpu_s()) / LOOP_S
    held = sum(len(node.devices) for node in desk.engine.nodes().values())
    waiting = sum(node.waiting_steps for node in desk.engine.usage() if node.parent < 0)
    print(f"{len(desk.engine.holdings()):,} leased of {held:,} GPUs and {waiting:,} waiting: read and made in")
    print(f"{loaded:.2f} s, {value:.2f} s to the first decision ({len(turn.effects)} effects), {grown_mb} MB")
    holds = value <= goal and grown_mb <= GOAL_MB
    verdict("quota_restart", value=value, unit="s", floor=floor, goal=round(goal, 2), holds=holds, memory_mb=grown_mb)


if __name__ == "__main__":
    main()
