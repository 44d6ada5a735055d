"""Run by the raylet instead of a Python that would import everything: asks the fork server for a worker.

    python -I -S fork_client.py SOCKET PYTHON default_worker.py …

Where the worker needs another interpreter (a runtime environment), or the server refuses or does not answer,
it becomes the process that Ray asked for. Imports nothing but what is built in or quick.
"""

import marshal
import os
import socket
import sys

ANSWERED_WITHIN_S = 60.0


def main() -> None:
    place, argv = sys.argv[1], sys.argv[2:]
    plain = _plain(argv)
    if not (plain and _is_forked(place, plain)):
        os.execvp(argv[0], argv)


def warm(place: str, environment: dict[str, str]) -> None:
    """Tells the server what its workers' environment will be, so that it imports before the first is asked for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(ANSWERED_WITHIN_S)
        door.connect(place)
        door.sendall(_order([], environment))


def _plain(argv: list[str]) -> list[str]:
    """The worker's own command, without Ray's detour over `setup_worker.py`; empty where that has work to do."""
    if any(word.startswith("--serialized-runtime-env-context=") for word in argv):
        return []
    if len(argv) > 2 and argv[1].endswith("setup_worker.py"):
        argv = [argv[0], *(word for word in argv[2:] if not word.startswith("--language="))]
    return argv if len(argv) > 1 and argv[1].endswith("default_worker.py") else []


def _is_forked(place: str, argv: list[str]) -> bool:
    order = _order(argv, dict(os.environ))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.settimeout(ANSWERED_WITHIN_S)
            door.connect(place)
            socket.send_fds(door, [order[:4]], [1, 2])
            door.sendall(order[4:])
            return door.recv(1) == b"y"
    except OSError:
        return False


def _order(argv: list[str], environment: dict[str, str]) -> bytes:
    """What is wanted, behind its size in four bytes."""
    whole = marshal.dumps((argv, os.getcwd(), environment))
    return len(whole).to_bytes(4, "big") + whole


if __name__ == "__main__":
    main()
