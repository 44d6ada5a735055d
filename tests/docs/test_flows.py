"""The examples of docs/flows.md run as they are written."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "flows.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_guide_runs(number: int, tmp_path: Path) -> None:
    name = f"guide_flows_{number}"
    file = tmp_path / f"{name}.py"
    file.write_text(EXAMPLES[number])
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None
    assert found.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)  # each ends in the assertions that it promises
    finally:
        del sys.modules[name]
