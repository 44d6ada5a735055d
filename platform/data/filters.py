"""Row filters in a small SQL: `month <= 9 and carrier in ('AA', 'UA')`, parsed and bound by pyiceberg."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, Not, Or, Reference, UnboundPredicate
from pyiceberg.expressions.parser import parse as parse_expression
from pyiceberg.expressions.visitors import bind
from pyiceberg.schema import Schema

from ..errors import InvalidInput, did_you_mean

_REMEDY = "Write comparisons of columns with literals, as in: month <= 9 and carrier in ('AA', 'UA')"


def parse(text: str) -> BooleanExpression:
    """The unbound expression; an empty text is always true. Raises InvalidInput where it does not parse."""
    if not text.strip():
        return AlwaysTrue()
    try:
        expression: BooleanExpression = parse_expression(text)
    except Exception:  # pyparsing's family, whose messages list the whole grammar, and what pyiceberg's actions raise
        raise InvalidInput(f"the filter {text!r} cannot be read", remedy=_REMEDY) from None
    return expression


def both(left: str, right: str) -> str:
    """The filter for rows that satisfy both texts; an empty text asks for nothing."""
    return f"({left}) and ({right})" if left and right else left or right


def bound(expression: BooleanExpression, schema: Schema, table: str) -> BooleanExpression:
    """The expression bound to the table's columns. Raises InvalidInput naming the column or the literal."""
    known = [field.name for field in schema.fields]
    for name in sorted(referenced(expression)):
        if name not in schema.column_names:
            raise InvalidInput(f"table {table} has no column '{name}'", remedy=did_you_mean(name, known))
    try:
        return bind(schema, expression, case_sensitive=True)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the filter does not fit table {table}: {error}", remedy=_REMEDY) from None


def referenced(expression: BooleanExpression) -> frozenset[str]:
    """The names of the columns an unbound expression speaks of."""
    return frozenset(_names(expression))


def _names(expression: BooleanExpression) -> Iterator[str]:
    match expression:
        case And() | Or():
            yield from _names(expression.left)
            yield from _names(expression.right)
        case Not():
            yield from _names(expression.child)
        case UnboundPredicate() if isinstance(expression.term, Reference):
            yield expression.term.name
        case _:
            return
