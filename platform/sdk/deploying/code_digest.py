"""What a step's or flow's code is: its module, the modules of the bundle that it imports, and its environment.

Imports are read from the source, also those inside functions, and followed as long as they stay in the bundle.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from .bundle import REQUIREMENTS, python_minor


def code_digest(function: Callable[..., Any], env: tuple[str, ...] = ()) -> str:
    """Hex SHA-256; empty where the source is not at hand."""
    module = sys.modules.get(function.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return ""
    path, name = Path(file), function.__module__
    depth = name.count(".") + (path.name == "__init__.py")
    root = path.parents[depth]
    return _digest(root, name, function.__qualname__, env)


@lru_cache(maxsize=1024)
def _digest(root: Path, module: str, qualname: str, env: tuple[str, ...]) -> str:
    sha = hashlib.sha256(f"{module}:{qualname}\0python\0{python_minor()}\0{env!r}\0".encode())
    for name in sorted(_reached(root, module)):
        file = _file(root, name)
        assert file is not None
        sha.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    for name in REQUIREMENTS:
        if (root / name).is_file():
            sha.update((root / name).read_bytes())
    return sha.hexdigest()


def _reached(root: Path, module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(root, name)
        if file is None or name in found:
            continue
        found.add(name)
        waiting.extend(name.rpartition(".")[0:1])  # the package that holds it is imported too
        waiting.extend(_imported(file, name))
    return found


def _imported(file: Path, name: str) -> Iterator[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module or "") if part)
            yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _file(root: Path, module: str) -> Path | None:
    if not module:
        return None
    plain = root.joinpath(*module.split("."))
    return next((file for file in (plain.with_suffix(".py"), plain / "__init__.py") if file.is_file()), None)
