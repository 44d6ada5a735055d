"""A worker that was given up and does not know it: what it still says on a line of its own to the Conductor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psutil

from headwater.actors.lines.line import Line
from headwater.core.records.attempts import Attempt
from headwater.errors import Unavailable
from headwater.local.home import Home
from headwater.wire.calls import Payload, Progress

LOOPBACK = "127.0.0.1"
KNOCK_WITHIN_S = 3.0


def words_of(conductor_pid: int, home: Home, attempt: Attempt) -> tuple[str, str]:
    """What the Conductor answers when the worker of the attempt claims it, and when it keeps a checkpoint."""

    async def said() -> tuple[str, str]:
        line = await _line_to(conductor_pid, home.secret())
        line.tell("progress", [_progress(attempt)])
        claimed = await line.call("claim", attempt.fence, attempt.worker, attempt.secret)
        state = Payload(inline=b"of long ago", size_bytes=11)
        kept = await line.call("checkpoint", attempt.fence, attempt.worker, state)
        line.close()
        return claimed, kept

    return asyncio.run(said())


def _progress(attempt: Attempt) -> Progress:
    assert attempt.worker is not None
    return Progress(
        fence=attempt.fence, run_id=attempt.run_id, step_id=attempt.step_id, name="stand_at", attempt=attempt.number,
        worker=attempt.worker, done=1, total=2, rate=1,
    )  # fmt: skip


async def _line_to(pid: int, secret: bytes) -> Line:
    """To that of the process's sockets which answers as one who knows the secret; the others are Ray's."""
    listening = [each for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    for port in sorted(each.laddr.port for each in listening):
        line = Line("conductor", _at(port), secret)
        try:
            async with asyncio.timeout(KNOCK_WITHIN_S):
                await line.open()
        except (Unavailable, TimeoutError):
            line.close()
            continue
        return line
    raise AssertionError(f"None of the sockets of process {pid} is a line: {listening}")


def _at(port: int) -> Callable[[], Awaitable[tuple[str, int]]]:
    async def address() -> tuple[str, int]:
        return LOOPBACK, port

    return address
