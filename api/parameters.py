"""What no route takes is refused by name: parameters unknown, repeated or oddly written, unstorable texts."""

import json
import re
from collections import Counter
from functools import cache
from typing import Any, get_args

from fastapi import Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from gis.errors import BadInput, BadParameter

_KNOWN: dict[str, frozenset[str]] = {}
"""By the unique id of a route."""


async def only_known(request: Request) -> None:
    """Let a request pass to its route. Raises BadParameter for a parameter unknown to it, or repeated.

    Filters that are ignored answer another question than the one asked.
    """
    if not request.scope["query_string"]:
        return
    known = _known(request.scope["route"])
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            raise BadParameter(
                name or "query", f"this takes no such parameter; what it takes: {_listed(known)}"
            )
        if times > 1:
            raise BadParameter(name, f"comes {times} times; give it once")


async def only_plain_numbers(request: Request) -> None:
    """Let a request pass whose numbers are written as numbers are. Raises BadInput for any other.

    The framework would read `6_001`, ` 6001` and `+6001` as 6001: one thing then has many addresses.
    """
    given = [*request.path_params.items(), *request.query_params.multi_items()]
    notations = _numbers(request.scope["route"]) if given else {}
    for name, value in given:
        notation = notations.get(name)
        if notation and not notation.fullmatch(str(value)):
            raise BadInput(name, f"{str(value)[:40]!r} is no number as it is written here, such as 12")


_NOTATIONS = {
    int: re.compile(r"-?(0|[1-9]\d*)", re.ASCII),
    float: re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII),
}
_NUMBERS: dict[str, dict[str, re.Pattern[str]]] = {}
"""By the unique id of a route: how each of its numbers is written."""


def _numbers(route: APIRoute) -> dict[str, re.Pattern[str]]:
    if route.unique_id not in _NUMBERS:
        taken = ((one.alias, one.field_info.annotation) for one in get_flat_params(route.dependant))
        _NUMBERS[route.unique_id] = {
            name: notation
            for name, kind in taken
            for number, notation in _NOTATIONS.items()
            if number in (kind, *get_args(kind))
        }
    return _NUMBERS[route.unique_id]


def _known(route: APIRoute) -> frozenset[str]:
    if route.unique_id not in _KNOWN:
        taken = get_flat_params(route.dependant)
        _KNOWN[route.unique_id] = frozenset(
            one.alias for one in taken if isinstance(one.field_info, params.Query)
        )
    return _KNOWN[route.unique_id]


@cache
def _listed(known: frozenset[str]) -> str:
    return ", ".join(sorted(known)) or "none"


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


async def only_storable(request: Request) -> None:
    """Let a request pass whose JSON body says each thing once, in texts that can be stored.

    Raises BadInput for a name that an object holds twice: which of the two is meant nobody can know.
    """
    if "json" not in request.headers.get("content-type", "json"):
        return
    try:
        told = json.loads(await request.body(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return  # which the route refuses in its own words
    if (name := _unstorable(told)) is not None:
        raise BadInput(name, "a text in it holds a zero byte or half a character (a lone surrogate)")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's pairs as a dict. Raises BadInput for a name that comes twice."""
    held = dict(pairs)
    if len(held) < len(pairs):
        name, times = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BadInput(
            _UNSTORABLE.sub("?", name) or "body", f"comes {times} times in one object; give it once"
        )
    return held


def _unstorable(told: Any) -> str | None:
    """Return the top-level field that holds a text which no column can hold; None without one."""
    fields = told.items() if isinstance(told, dict) else [("body", told)]
    found = (_UNSTORABLE.sub("?", name) or "body" for name, value in fields if _is_unstorable([name, value]))
    return next(found, None)


def _is_unstorable(value: Any) -> bool:
    left = [value]
    while left:  # not by recursion: bodies may be deep
        one = left.pop()
        if isinstance(one, str) and _UNSTORABLE.search(one):
            return True
        if isinstance(one, dict):
            left += [*one, *one.values()]
        left += one if isinstance(one, list) else []
    return False
