from __future__ import annotations

import subprocess
import sys

HIDE_THE_PLATFORM = """
import sys
for name in ("psutil", "ray", "aiokafka", "sqlalchemy"):
    sys.modules[name] = None
sys.argv = ["headwater", "up"]
from headwater.cli.main import main
main()
"""


def test_without_the_platform_installed_up_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", HIDE_THE_PLATFORM], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "headwater[platform" in done.stderr
    assert "Traceback" not in done.stderr
