"""Filters in CQL2 text, read by a library and turned into bound conditions on what a layer declares."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, tzinfo
from math import isfinite
from typing import Any

import cql2
import sqlalchemy as sa
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from gis import schema as t
from gis.errors import BadInput

LONGEST, MOST_BRACKETS, DEEPEST = 1000, 10, 24
"""Characters of a filter, its opening brackets, and how deep its operations may lie in one another. The
parser takes twice as long with each bracket left open (16: a second); some thousand take the process down."""

Tree = Any
"""An operation as (name, *operands), a property as ("property", name), anything else as its value."""
Condition = sa.ColumnElement[bool]
Column = sa.ColumnElement[Any]

INCIDENTS = ("code", "category", "source", "colour", "state", "occurred_at")
PROPERTIES: Mapping[str, tuple[sa.Table, tuple[str, ...]]] = {
    "grids": (t.grids, ("code", "name", "level", "kind")),
    "labels": (t.grids, ("code", "name", "level", "kind")),
    "areas": (t.areas, ("name", "kind")),
    "roads": (t.roads, ("name", "class")),
    "buildings": (t.buildings, ("name", "address", "kind", "floors", "households")),
    "cameras": (t.cameras, ("name", "kind", "state", "fov", "range_m")),
    "incidents": (t.incidents, INCIDENTS),
    "responders": (t.responders, ("name", "kind", "status")),
    "places": (t.places, ("name", "kind", "address")),
}
"""Layer: its table, and by which of its properties it may be filtered: those that its features show."""


def read(text: str, local: tzinfo) -> Tree:
    """Return a filter's tree, hashable; a date is its first moment in the city's zone.

    Syntax: OGC 21-065r2, CQL2 text. Raises BadInput for what is no such filter, is too long or too deep.
    """
    if len(text) > LONGEST:
        raise BadInput("filter", f"has {len(text)} characters; at most {LONGEST} are read")
    # All of them: which lie within quotes is for the parser to say, and would be a way around.
    if text.count("(") > MOST_BRACKETS:
        raise BadInput("filter", f"has more than {MOST_BRACKETS} opening brackets; write it flatter")
    try:
        parsed = cql2.parse_text(text).to_json()
    except (cql2.ParseError, cql2.ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        example = "colour = 'red' AND state <> 'closed'"
        raise BadInput("filter", f"is no CQL2 text, such as {example}: {reason}") from error
    tree = _tree(parsed, local, 0)
    if not isinstance(tree, tuple):
        raise BadInput("filter", _NO_TEST)
    return tree


def _tree(node: Any, local: tzinfo, depth: int) -> Tree:
    if depth > DEEPEST:
        raise BadInput("filter", f"lies more than {DEEPEST} operations deep; write it flatter")
    if isinstance(node, list):
        return ("list", *(_tree(one, local, depth + 1) for one in node))
    if not isinstance(node, dict):
        return node
    if "property" in node:
        return ("property", str(node["property"]))
    if "op" in node:
        return (str(node["op"]), *(_tree(one, local, depth + 1) for one in node["args"]))
    return _moment(node, local)


def _moment(node: Mapping[str, Any], local: tzinfo) -> datetime:
    try:
        if "date" in node:
            return datetime.combine(date.fromisoformat(node["date"]), time(), local)
        read = datetime.fromisoformat(node["timestamp"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("filter", "holds what is no text, number, DATE('…') or TIMESTAMP('…')") from error
    return read if read.tzinfo else read.replace(tzinfo=local)


def names(tree: Tree | None, name: str) -> bool:
    """Tell whether a filter speaks of a property."""
    return isinstance(tree, tuple) and (
        tree == ("property", name) or any(names(one, name) for one in tree[1:])
    )


def values_of(tree: Tree | None, name: str) -> frozenset[Any] | None:
    """Return the values that a filter lets a property have, where it names each of them; None where not.

    Named by = or IN, alone, joined by AND with anything, or by OR with others that name some too.
    """
    operation, *operands = tree if isinstance(tree, tuple) else (None,)
    if operation in _JOINS:
        several = [values_of(one, name) for one in operands]
        known = [one for one in several if one is not None]
        if operation == "or":
            return frozenset().union(*known) if len(known) == len(several) else None
        return frozenset.intersection(*known) if known else None
    if len(operands) != 2 or ("property", name) not in operands:
        return None
    if operation == "=":
        return frozenset(one for one in operands if not _is_property(one))
    is_list = operation == "in" and isinstance(operands[1], tuple) and operands[1][:1] == ("list",)
    return frozenset(operands[1][1:]) if is_list else None


def conditions(
    tree: Tree | None, layer: str, of: ReadOnlyColumnCollection[str, Any] | None = None
) -> list[Condition]:
    """Return a filter as conditions on a layer's table, or on a query's columns `of`; none without one.

    Raises BadInput naming a property that the layer has not, an operation that is not known, or a value that
    is of another kind than its property.
    """
    if tree is None:
        return []
    table, names = PROPERTIES[layer]
    return [_condition(tree, layer, {name: (of or table.c)[name] for name in names})]


def _condition(tree: Tree, layer: str, columns: Mapping[str, Column]) -> Condition:
    operation, *operands = tree if isinstance(tree, tuple) else (None,)
    if operation in _JOINS and operands:
        return _JOINS[operation](*(_condition(one, layer, columns) for one in operands))
    if operation == "not" and len(operands) == 1:
        return sa.not_(_condition(operands[0], layer, columns))
    if operation in _MIRRORED and len(operands) == 2 and not _is_property(operands[0]):
        operation, operands = _MIRRORED[operation], operands[::-1]
    if operation not in _TESTS or not operands or not _is_property(operands[0]):
        raise BadInput("filter", _NO_TEST)
    return _TESTS[operation](_column(operands[0][1], layer, columns), operands[1:])


def _is_property(tree: Tree) -> bool:
    return isinstance(tree, tuple) and tree[:1] == ("property",)


def _column(name: str, layer: str, columns: Mapping[str, Column]) -> Column:
    if name not in columns:
        raise BadInput("filter", f"layer {layer} has no property {name[:80]}; it has {', '.join(columns)}")
    return columns[name]


def _value(column: Column, value: Tree) -> Any:
    """Return a value that can be compared with a column."""
    kind, fits = next((kind, fits) for of, kind, fits in _KINDS if isinstance(column.type, of))
    if kind == "moment" and isinstance(value, str):
        return _moment({"timestamp": value}, UTC)
    if not fits(value):
        raise BadInput("filter", f"compares {column.key} with what is no {kind}")
    return value


def _is_number(value: Tree) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


_KINDS: tuple[tuple[type[Any], str, Callable[[Tree], bool]], ...] = (
    (sa.DateTime, "moment", lambda value: isinstance(value, datetime)),
    (sa.Numeric, "number", _is_number),
    (sa.Integer, "number", _is_number),
    (sa.String, "text", lambda value: isinstance(value, str) and "\0" not in value),
)


def _compared(operation: str) -> Callable[[Column, list[Tree]], Condition]:
    def test(column: Column, operands: list[Tree]) -> Condition:
        return column.bool_op(operation)(_bound(column, _one(operands)))

    return test


def _bound(column: Column, value: Tree) -> Column:
    """Bind a value; numbers as doubles, so that none is beyond a column's bounds."""
    found = _value(column, value)
    return sa.literal(float(found), sa.Double) if _is_number(found) else sa.literal(found, column.type)


def _one(operands: list[Tree]) -> Tree:
    if len(operands) != 1:
        raise BadInput("filter", "compares a property with one value")
    return operands[0]


def _like(column: Column, operands: list[Tree]) -> Condition:
    pattern = _one(operands)
    if not isinstance(column.type, sa.String) or not isinstance(pattern, str) or "\0" in pattern:
        raise BadInput("filter", f"LIKE compares texts; {column.key} or its pattern is none")
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise BadInput("filter", "a pattern of LIKE ends with a single backslash, which escapes nothing")
    return column.like(pattern, escape="\\")


def _within(column: Column, operands: list[Tree]) -> Condition:
    several = _one(operands)
    if not isinstance(several, tuple) or several[:1] != ("list",):
        raise BadInput("filter", "IN takes a list of values in brackets")
    return column.in_([_bound(column, one) for one in several[1:]])


def _between(column: Column, operands: list[Tree]) -> Condition:
    if len(operands) != 2:
        raise BadInput("filter", "BETWEEN takes two values")
    low, high = (_bound(column, one) for one in operands)
    return column.between(low, high)


def _is_null(column: Column, operands: list[Tree]) -> Condition:
    if operands:
        raise BadInput("filter", "IS NULL takes a property alone")
    return column.is_(None)


_JOINS: Mapping[str, Callable[..., Condition]] = {"and": sa.and_, "or": sa.or_}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_TESTS: Mapping[str, Callable[[Column, list[Tree]], Condition]] = {
    **{operation: _compared(operation) for operation in _MIRRORED},
    "like": _like,
    "in": _within,
    "between": _between,
    "isNull": _is_null,
}
_WORDS = "=, <>, <, >, <=, >=, LIKE, IN, BETWEEN, IS NULL"
_NO_TEST = f"compares no property with a value; it may use AND, OR, NOT, {_WORDS}"
