"""Importing a bundle and reading off what it declares: flows, steps, triggers, parameters.

Runs in a fresh process of its own, because importing runs the user's code and fills `sys.modules`.
"""

from __future__ import annotations

import importlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ...errors import HeadwaterError, did_you_mean
from ...extensions import installed
from ...wire.manifest import FlowSpec, Manifest, StepSpec, TriggerSpec
from ..failure import user_frames
from ..flow import Flow
from ..problem import Problem
from ..step import Step
from .bundle import Bundle, python_minor

_NOT_DEPLOYED: Final = ("tests", "test", "docs")


def collect(bundle: Bundle) -> Manifest:
    """What the bundle declares. Raises Problem with file and line for the first thing that is wrong."""
    sys.path.insert(0, str(bundle.folder))
    modules = {name: _imported(bundle, name) for name in bundle.modules if _is_deployed(name)}
    flows = list(_found(modules, Flow))
    if not flows:
        remedy = "Put @flow(project=...) on a function"
        raise Problem(f"No flow was found in {len(modules)} Python files", remedy=remedy, file=next(iter(modules), ""))
    _check_names(flows)
    specs = tuple(_flow(name, flow) for name, flow in flows)
    _check_finished(specs)
    steps = tuple(_step(name, step) for name, step in _found(modules, Step))
    return Manifest(flows=specs, steps=steps, python=python_minor(), requirements=bundle.requirements)


def module_name(name: str) -> str:
    """`a/b.py` is `a.b`, and `a/__init__.py` is `a`."""
    parts = name.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_deployed(name: str) -> bool:
    *folders, file = name.split("/")
    if any(folder in _NOT_DEPLOYED for folder in folders) or file in ("setup.py", "conftest.py"):
        return False
    words = module_name(name).split(".")
    return bool(words[0]) and all(word.isidentifier() for word in words) and not file.startswith("test_")


def _imported(bundle: Bundle, name: str) -> Any:
    module = module_name(name)
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise Problem(f"{name} hides Python's own module {top!r}", remedy="Give it another name", file=name)
    try:
        return importlib.import_module(module)
    except HeadwaterError as error:
        line = _line_in(error, bundle.folder / name)
        raise Problem(error.what, remedy=error.remedy, file=name, line=line) from None
    except SyntaxError as error:
        file = _inside(bundle, error.filename or name)
        raise Problem(f"{error.msg}", file=file, line=error.lineno or 0, frames=_text(error)) from None
    except BaseException as error:  # SystemExit at import, too
        raise _import_problem(bundle, name, error) from None


def _import_problem(bundle: Bundle, name: str, error: BaseException) -> Problem:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_inside(bundle, frame.filename)]
    last = frames[-1] if frames else None
    return Problem(
        f"Importing {name} failed with {type(error).__name__}: {error}",
        remedy=_import_remedy(bundle, error),
        file=_inside(bundle, last.filename) if last else name,
        line=(last.lineno or 0) if last else 0,
        frames=user_frames(error),
    )


def _import_remedy(bundle: Bundle, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        own = {module_name(name).partition(".")[0] for name in bundle.modules}
        near = did_you_mean(error.name, own)
        return near if near.startswith("Did") else f"Install {error.name!r} where Headwater runs"
    return "A deployed file is imported, so it must import cleanly"


def _found(modules: dict[str, Any], kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """(file, value) of each one declared at the top of its module, once, however often it is imported elsewhere."""
    for name, module in modules.items():
        for value in vars(module).values():
            if isinstance(value, kind) and value.function.__module__ == module.__name__:
                if vars(module).get(value.function.__qualname__) is not value:
                    what, line = f"{value!r} cannot be found as {value.reference}", _line(value.function)
                    raise Problem(what, remedy="Declare it at the top of its module", file=name, line=line)
                yield name, value


def _check_names(flows: list[tuple[str, Flow[Any, Any]]]) -> None:
    seen: dict[str, str] = {}
    for name, flow in flows:
        if flow.full_name in seen:
            what = f"Two flows are named {flow.full_name}, the other in {seen[flow.full_name]}"
            raise Problem(what, remedy="Give one of them name=", file=name, line=_line(flow.function))
        seen[flow.full_name] = name


def _flow(name: str, flow: Flow[Any, Any]) -> FlowSpec:
    line = _line(flow.function)
    try:
        parameters = flow.parameters.schema()
    except HeadwaterError as error:
        raise Problem(error.what, remedy=error.remedy, file=name, line=line) from None
    except NameError as error:
        raise Problem(f"An annotation of flow {flow.name} is unknown: {error}", file=name, line=line) from None
    for trigger in flow.on:
        _check_trigger(name, flow, trigger, parameters)
    return FlowSpec(
        name=flow.name,
        project=flow.project,
        function=flow.reference,
        parameters=parameters,
        triggers=flow.on,
        labels=flow.labels,
        doc=inspect.getdoc(flow.function) or "",
        file=name,
        line=line,
    )


def _step(name: str, step: Step[Any, Any]) -> StepSpec:
    return StepSpec(
        name=step.name, function=step.reference, demand=step.asks.demand, file=name, line=_line(step.function)
    )


def _check_trigger(name: str, flow: Flow[Any, Any], trigger: TriggerSpec, parameters: dict[str, Any]) -> None:
    try:
        from ...core import trigger_kind
        from ...core.trigger_fault import fault_of
    except ImportError:  # a client without the platform: the server checks it
        return
    added = installed(trigger_kind.GROUP, trigger_kind.TriggerKind, "trigger kind")
    fault = fault_of(trigger, parameters, added)
    if fault is not None:
        what = f"Trigger {trigger.name!r} of flow {flow.name}: {fault.what}"
        raise Problem(what, remedy=fault.remedy, file=name, line=trigger.line)


def _check_finished(flows: tuple[FlowSpec, ...]) -> None:
    """A flow of the same project that is nearly named like one of ours is a slip; others may be deployed elsewhere."""
    names = {flow.name for flow in flows} | {f"{flow.project}/{flow.name}" for flow in flows}
    for flow in flows:
        for trigger in flow.triggers:
            if trigger.kind == "finished" and trigger.subject not in names:
                near = did_you_mean(trigger.subject, names)
                if near.startswith("Did"):
                    what = f"Trigger {trigger.name!r} of flow {flow.name} waits for a flow that is not here"
                    raise Problem(what, remedy=near, file=flow.file, line=trigger.line)


def _line(function: Callable[..., Any]) -> int:
    """Where `def` stands, below its decorators."""
    code = function.__code__
    for line in range(code.co_firstlineno, code.co_firstlineno + 50):
        if linecache.getline(code.co_filename, line).lstrip().startswith(("def ", "async def ")):
            return line
    return code.co_firstlineno


def _line_in(error: BaseException, file: Path) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename == str(file)), 0)


def _is_inside(bundle: Bundle, filename: str) -> bool:
    return filename.startswith(f"{bundle.folder}/")


def _inside(bundle: Bundle, filename: str) -> str:
    return filename.removeprefix(f"{bundle.folder}/")


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error))
