"""What users import. Each name is fetched from its module at first use, so that `flow` costs no pyarrow."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .client.awaiting import AsyncClient as AsyncClient
    from .client.blocking import Client as Client
    from .context import current as current
    from .durable import Event as Event
    from .durable import now as now
    from .durable import publish as publish
    from .durable import random as random
    from .durable import sleep as sleep
    from .durable import uuid as uuid
    from .durable import wait_for as wait_for
    from .failure import StepFailed as StepFailed
    from .flow import Flow as Flow
    from .flow import flow as flow
    from .future import Future as Future
    from .future import first as first
    from .future import gather as gather
    from .model import Model as Model
    from .register import Serving as Serving
    from .register import model as model
    from .register import register as register
    from .running.interrupts import ResultTimeout as ResultTimeout
    from .running.interrupts import WaitTimeout as WaitTimeout
    from .step import Step as Step
    from .step import step as step
    from .table import Table as Table

_HOMES: Final = {
    "AsyncClient": "client.awaiting",
    "Client": "client.blocking",
    "Event": "durable",
    "Flow": "flow",
    "Future": "future",
    "Model": "model",
    "ResultTimeout": "running.interrupts",
    "Serving": "register",
    "Step": "step",
    "StepFailed": "failure",
    "Table": "table",
    "WaitTimeout": "running.interrupts",
    "current": "context",
    "first": "future",
    "flow": "flow",
    "gather": "future",
    "model": "register",
    "now": "durable",
    "publish": "durable",
    "random": "durable",
    "register": "register",
    "sleep": "durable",
    "step": "step",
    "uuid": "durable",
    "wait_for": "durable",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """`sdk/flow.py` holds `flow`: loading the module must not put it in the place of what users mean by that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
