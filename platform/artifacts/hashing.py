"""SHA-256 beside the writing: large pieces are hashed in a thread of their own, which holds no lock meanwhile."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

BESIDE_BYTES: Final = 1 << 20  # a smaller piece is hashed sooner than handed over


class Hashing:
    """Pieces count in the order of `update`, which waits while `ahead_max` of them wait. `close` ends the thread."""

    def __init__(self, *, ahead_max: int) -> None:
        self._ahead_max = ahead_max
        self._sha = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[None]] = deque()

    def update(self, piece: memoryview) -> None:
        if self._thread is None and piece.nbytes < BESIDE_BYTES:
            self._sha.update(piece)
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "hashing")
        self._ahead.append(self._thread.submit(self._sha.update, piece))
        if len(self._ahead) > self._ahead_max:
            self._ahead.popleft().result()

    def digest(self) -> str:
        while self._ahead:
            self._ahead.popleft().result()
        return self._sha.hexdigest()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
