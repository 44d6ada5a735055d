"""Who yields to whom, by the niceness of threads: told by a process of its own, which cannot take it back."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import os
from headwater.actors.courtesy import settle_in, started_first

settle_in(5)
found = []
for name in ("commits", "another"):
    thread = started_first(lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)), name)
    thread.join()
    assert thread.name == name
print(os.getpriority(os.PRIO_PROCESS, 0), *found)
"""


def test_a_process_yields_but_the_thread_that_writes_for_it_does_not() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    environment = os.environ | {"RAY_JOB_ID": "01"}
    said = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    nice = max(mine, 5)
    assert said.stdout.split() == [str(nice), str(mine), str(nice)]
