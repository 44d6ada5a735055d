"""How a failure is told: the cause and the user's own frames, without ours, the interpreter's or a library's."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from ..errors import HeadwaterError
from ..wire.terms import Failure

MESSAGE_MAX_CHARS: Final = 10_000
FRAMES_MAX: Final = 50
BASES_MAX: Final = 20

_OURS: Final = tuple({str(Path(__file__).parent.parent), str(Path(__file__).resolve().parent.parent)})
_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {"<frozen"})


class StepFailed(HeadwaterError):
    """A step ended badly, or never began because a step that feeds it did. The same in a flow called directly."""

    def __init__(self, failure: Failure) -> None:
        what = f"{failure.cause_type}: {failure.message}" if failure.cause_type else failure.message
        super().__init__(f"Step {failure.step or '?'} failed ({failure.kind}): {what}")
        self.failure = failure
        self.kind, self.cause_type = failure.kind, failure.cause_type
        self.message, self.frames = failure.message, failure.frames

    def __reduce__(self) -> tuple[object, ...]:
        return StepFailed, (self.failure,)


def failure_of(error: BaseException, *, step: str = "") -> Failure:
    """What is kept of an exception that user code let through; a step's failure stays that step's."""
    if isinstance(error, StepFailed):
        return error.failure
    return Failure(
        kind="out_of_memory" if isinstance(error, MemoryError) else "exception",
        message=_message(error)[:MESSAGE_MAX_CHARS],
        cause_type=type(error).__qualname__,
        frames=user_frames(error),
        step=step,
        bases=tuple(full_name(kind) for kind in type(error).__mro__[:BASES_MAX] if kind is not object),
    )


def full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def user_frames(error: BaseException) -> str:
    """The traceback as Python prints it, causes included, with only the frames of the user's files."""
    printed: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        printed.append(_one(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nThe above exception led to:\n\n".join(reversed(printed))


def user_stack(thread: int | None) -> str:
    """Where a thread of this process stands now, in the user's files."""
    frame = sys._current_frames().get(thread or 0)
    stack = [one for one in traceback.extract_stack(frame) if is_users(one.filename)] if frame else []
    return "".join(traceback.format_list(stack[-FRAMES_MAX:]))


def is_users(filename: str) -> bool:
    return not filename.startswith(_OURS + _LIBRARIES)


def _one(error: BaseException) -> str:
    frames = _users(error.__traceback__)
    head = ["Traceback (most recent call last):\n"] if frames else []
    return "".join([*head, *traceback.format_list(frames), *traceback.format_exception_only(error)])


def _users(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(trace)
    return [frame for frame in frames if is_users(frame.filename)][-FRAMES_MAX:]


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return f"<{type(error).__qualname__} whose text cannot be made: {sys.exc_info()[1]!r}>"
