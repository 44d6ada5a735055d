"""Python runs this at the start of every Ray process: its gRPC servers then listen on loopback only.

Ray Serve's replicas bind `[::]`, and no setting changes that. The address is narrowed where grpc's
server is asked to listen, when (and only if) a process imports it.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

SERVER = "grpc.aio._server"
WILDCARDS = ("[::]:", "0.0.0.0:")
LOOPBACK = "127.0.0.1:"


def narrowed(address: str) -> str:
    for wildcard in WILDCARDS:
        if address.startswith(wildcard):
            return LOOPBACK + address.removeprefix(wildcard)
    return address


def narrow(server: type) -> None:
    """Makes every port that `server` is asked for a loopback port."""
    for name in ("add_insecure_port", "add_secure_port"):
        add_port = getattr(server, name)

        def on_loopback(self, address, *rest, _add_port=add_port):  # type: ignore[no-untyped-def]
            return _add_port(self, narrowed(address), *rest)

        setattr(server, name, on_loopback)


class NarrowingFinder(importlib.abc.MetaPathFinder):
    """Steps aside once it has found the server's module, and patches what that module defines."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != SERVER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_narrow(module: ModuleType) -> None:
                run(module)
                narrow(module.Server)

            spec.loader.exec_module = run_and_narrow  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, NarrowingFinder())
