"""A port at which a step says who it is and waits: a test knows that it runs, without asking the platform."""

from __future__ import annotations

import json
import socket
from typing import NamedTuple

WITHIN_S = 90.0


class Guest(NamedTuple):
    """A step that waits at the gate."""

    pid: int
    attempt: int
    line: socket.socket

    def let_go(self) -> None:
        self.line.sendall(b".")

    def is_gone(self) -> bool:
        """Whether its end of the line has closed, or does within the time a test has."""
        self.line.settimeout(WITHIN_S)
        try:
            return self.line.recv(1) == b""
        except ConnectionResetError:
            return True


class Gate:
    def __init__(self, within_s: float = WITHIN_S) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(within_s)
        self.guests: list[Guest] = []
        self.port = int(self._listener.getsockname()[1])

    def guest(self) -> Guest:
        """The next that comes; raises TimeoutError where none does."""
        line, _ = self._listener.accept()
        line.settimeout(WITHIN_S)
        with line.makefile("rb") as words:
            said = json.loads(words.readline())
        self.guests.append(Guest(said["pid"], said["attempt"], line))
        return self.guests[-1]

    def close(self) -> None:
        for each in (self._listener, *(guest.line for guest in self.guests)):
            each.close()
