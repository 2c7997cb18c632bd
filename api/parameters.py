"""Query parameters that a route does not know, or takes once and gets twice, are refused by name."""

from collections import Counter
from functools import cache

from fastapi import Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from gis.errors import BadParameter

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
            raise BadParameter(name, f"this takes no such parameter; what it takes: {_listed(known)}")
        if times > 1:
            raise BadParameter(name, f"comes {times} times; give it once")


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
