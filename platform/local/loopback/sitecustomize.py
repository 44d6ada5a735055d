"""Python runs this at the start of every Ray process: its gRPC servers then listen on loopback only, and Ray Serve
places replicas where their leases are (`lease_placement`).

Ray Serve's replicas bind `[::]`, and no setting changes that. The address is narrowed where grpc's
server is asked to listen. Both modules are changed when, and only if, a process imports them.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

SERVER = "grpc.aio._server"
SCHEDULER = "ray.serve._private.deployment_scheduler"
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


def place(scheduler: type) -> None:
    from lease_placement import place_by_lease  # type: ignore[import-not-found]

    place_by_lease(scheduler)


PATCHES = {
    SERVER: lambda module: narrow(module.Server),
    SCHEDULER: lambda module: place(module.DeploymentScheduler),
}


class PatchingFinder(importlib.abc.MetaPathFinder):
    """Patches what a module of PATCHES defines, once it has run."""

    def __init__(self) -> None:
        self._sought = set(PATCHES)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._sought:
            return None
        self._sought.discard(fullname)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_patch(module: ModuleType) -> None:
                run(module)
                PATCHES[fullname](module)

            spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, PatchingFinder())
