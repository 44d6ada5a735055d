"""The one code version of this process: unpacked once per node, first on the path of imports."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import reduce
from pathlib import Path
from typing import Any

from ...artifacts.files import Files
from ...errors import Conflict, NotFound


class Code:
    """Blank until it is bound; another version is refused ever after."""

    def __init__(self, home: Path) -> None:
        self._files, self._root = Files(home / "artifacts"), home / "code"
        self._lock = threading.Lock()
        self._found: dict[str, Any] = {}
        self.version: str | None = None

    def bind(self, version: str, bundle: str) -> None:
        """Makes the bundle importable. Raises Conflict for a second version, NotFound for a bundle that is gone."""
        if self.version == version:
            return
        with self._lock:
            if self.version is not None and self.version != version:
                what = f"This process serves code version {self.version[:12]}, not {version[:12]}"
                raise Conflict(what, remedy="Use a process of its own for each version")
            if self.version is None:
                folder = self._files.materialise(bundle, self._root / version)
                sys.path.insert(0, str(folder))
                self.version = version

    def find(self, reference: str) -> Any:
        """What `module:qualname` names in the bundle; imports the module, and lets through what that raises."""
        if reference not in self._found:
            module, _, qualname = reference.partition(":")
            imported = importlib.import_module(module)
            try:
                self._found[reference] = reduce(getattr, qualname.split("."), imported)
            except AttributeError:
                what = f"The code has no {qualname!r} in module {module!r}"
                raise NotFound(what, remedy="Declare flows and steps at the top of their module") from None
        return self._found[reference]
