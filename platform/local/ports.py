"""TCP ports on this machine's loopback."""

from __future__ import annotations

import random
import socket

from ..errors import Conflict

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_000
BLOCK_TRIES = 50


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in held:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def claim(port: int, *, whose: str, setting: str) -> int:
    """`port` where it is free, a free one where it is 0; raises Conflict naming the setting to change."""
    if port == 0:
        return free_ports(1)[0]
    if not is_free(port):
        remedy = f"End what listens there (`ss -ltnp 'sport = :{port}'` names it), or choose another with {setting}"
        raise Conflict(f"port {port} for {whose} is taken", remedy=remedy)
    return port


def free_block(count: int) -> int:
    """The first of `count` ports in a row that are all free, below those the kernel gives out by itself."""
    for first in random.SystemRandom().sample(range(LOWEST, HIGHEST - count), BLOCK_TRIES):
        if all(is_free(port) for port in range(first, first + count)):
            return first
    raise Conflict(f"no {count} free ports in a row between {LOWEST} and {HIGHEST}", remedy="End what listens there")
