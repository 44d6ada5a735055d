"""A package made on the spot, so that installing it needs no network."""

from __future__ import annotations

import zipfile
from pathlib import Path


def a_wheel(folder: Path, version: str) -> str:
    """A requirement that names a wheel of the package `tinytool` with that version."""
    file = folder / f"tinytool-{version}-py3-none-any.whl"
    about = f"tinytool-{version}.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("tinytool.py", f"VERSION = {version!r}\n")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tinytool\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", tags)
        wheel.writestr(f"{about}/RECORD", "")
    return f"tinytool @ {file.as_uri()}"
