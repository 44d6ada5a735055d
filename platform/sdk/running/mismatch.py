"""Comparing what the code asks for with what its record says it asked for."""

from __future__ import annotations

from ...wire.calls import Command
from ...wire.terms import Failure


class CodeMismatch(BaseException):
    """The code did something else than what the record says it did. No `except Exception` may swallow it."""


def compare(recorded: Command, issued: Command | None) -> CodeMismatch | None:
    """What is wrong, showing both; None where they are the same. Without `issued` the function has ended."""
    if issued is not None and _same(recorded, issued):
        return None
    now = _shown(issued) if issued is not None else "the end of the function"
    return CodeMismatch(
        f"command {recorded.ordinal} of the record is {_shown(recorded)}, and the code now came to {now}. "
        "A flow function must do the same again: move what depends on time, chance or the outside into steps, "
        "or use now(), random() and uuid() of headwater.sdk"
    )


def mismatch_failure(mismatch: CodeMismatch) -> Failure:
    return Failure(kind="code_mismatch", message=str(mismatch))


def _same(recorded: Command, issued: Command) -> bool:
    if (recorded.kind, recorded.name, recorded.key) != (issued.kind, issued.name, issued.key):
        return False
    return None in (recorded.digest, issued.digest) or recorded.digest == issued.digest


def _shown(command: Command) -> str:
    digest = f" with input {command.digest[:12]}" if command.digest else ""
    return f"{command.kind} {command.key}{digest}"
