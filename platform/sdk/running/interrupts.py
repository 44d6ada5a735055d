"""What takes an execution away from its function, and the waits that a limit ended."""

from __future__ import annotations

from ...errors import HeadwaterError


class Closed(BaseException):
    """This execution was taken away; whatever the function does now is ignored."""


class Evicted(Closed):
    """The run waits and has left memory; it comes back by replay when what it waits for has happened."""


class ResultTimeout(HeadwaterError):
    """The step did not end within the time that `result(timeout=)` allowed; it goes on."""


class WaitTimeout(HeadwaterError):
    """No event came within the time that `wait_for(timeout=)` allowed."""
