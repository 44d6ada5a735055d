"""A flow's parameters: their JSON Schema, and values made of what an event or a person gave."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NotRequired, get_type_hints

from ..errors import InvalidInput, did_you_mean


class Parameters:
    """What one flow function takes. pydantic is loaded at first use."""

    def __init__(self, flow: str, function: Callable[..., Any]) -> None:
        self._flow, self._function = flow, function
        self._signature = inspect.signature(function)
        self._adapter: Any = None

    def schema(self) -> dict[str, Any]:
        """A JSON Schema object that allows no other properties. Raises InvalidInput naming what has no such form."""
        from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

        try:
            made: dict[str, Any] = self._typed().json_schema()
        except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError) as error:
            what = f"The parameters of flow {self._flow} have no JSON form ({error.message.splitlines()[0]})"
            raise InvalidInput(what, remedy="Use numbers, text, dates, lists, dictionaries or dataclasses") from None
        made.setdefault("properties", {})
        made["additionalProperties"] = False
        for name, default in self._defaults().items():
            made["properties"][name]["default"] = default
        return made

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The converted values of a call with these arguments."""
        try:
            given = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidInput(f"Flow {self._flow}: {error}", remedy=f"It takes {self._signature}") from None
        return self.converted(given)

    def converted(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values by name, as the annotations say. Raises InvalidInput naming parameter, value and what fits."""
        from pydantic import ValidationError

        unknown = sorted(set(given) - set(self._signature.parameters))
        if unknown:
            what = f"Flow {self._flow} has no parameter {unknown[0]!r}"
            raise InvalidInput(what, remedy=did_you_mean(unknown[0], self._signature.parameters))
        try:
            values: dict[str, Any] = self._typed().validate_python(dict(given))
        except ValidationError as error:
            raise InvalidInput(self._said(error), remedy=f"It takes {self._signature}") from None
        return values

    def as_json(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values in the form in which they travel."""
        plain: dict[str, Any] = self._typed().dump_python(dict(values), mode="json")
        return plain

    def _said(self, error: Any) -> str:
        worst = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in worst["loc"])
        if worst["type"] == "missing":
            return f"Flow {self._flow} needs the parameter {place!r}"
        return f"Parameter {place!r} of flow {self._flow} is {worst['input']!r}: {worst['msg']}"

    def _typed(self) -> Any:
        if self._adapter is None:
            from pydantic import ConfigDict, TypeAdapter
            from typing_extensions import TypedDict  # pydantic refuses that of Python 3.11

            hints = get_type_hints(self._function, include_extras=True)
            fields: dict[str, Any] = {}
            for name, parameter in self._signature.parameters.items():
                hint = hints.get(name, Any)
                fields[name] = hint if parameter.default is parameter.empty else NotRequired[hint]
            make: Any = TypedDict  # its fields are known only now
            made = make(self._flow, fields)
            made.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
            self._adapter = TypeAdapter(made)
        return self._adapter

    def _defaults(self) -> dict[str, Any]:
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        found = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.default is not parameter.empty:
                try:
                    found[name] = to_jsonable_python(parameter.default)
                except PydanticSerializationError:
                    continue  # the function still has it; only the schema does not say it
        return found


def check_signature(flow: str, function: Callable[..., Any]) -> None:
    """Raises InvalidInput for a function that cannot take its parameters by name."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidInput(f"Flow {flow} is a generator", remedy="Return its result")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            what = f"Flow {flow} takes {parameter}, which has no name of its own"
            raise InvalidInput(what, remedy="Name each parameter: events are mapped to them by name")
