"""`Idempotency-Key`: a request that creates something takes effect once, however often it is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request
from fastapi.responses import Response
from sqlalchemy.engine import Connection

from api.access import Engines, Who, engines
from api.deps import transaction
from gis import idempotency
from gis.access import Principal
from gis.errors import BadParameter
from gis.idempotency import Claim, Kept

Work = Callable[[Connection], "Made"]


@dataclass(frozen=True)
class Made:
    """What a request made: the answer's body, its status, and where it is read from now on."""

    body: Mapping[str, Any]
    status: int = 200
    location: str | None = None


Once = Callable[[Work], Response]
_AS_ELSEWHERE = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
"""Times end in Z, as FastAPI writes them on every other route."""


async def once(
    request: Request,
    who: Who,
    engines: Annotated[Engines, Depends(engines)],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]*$",
            description="The same key again gets the same answer.",
        ),
    ] = None,
) -> Once:
    """Return what runs the work of a request in a transaction, once for each key of a caller.

    Raises BadParameter for more keys than one.
    """
    if idempotency_key is None:
        return partial(_run, engines, who, None)
    if (times := len(request.headers.getlist("idempotency-key"))) > 1:
        raise BadParameter("Idempotency-Key", f"comes {times} times; give it once")
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + _said(
        await request.body()
    )
    caller = f"key {who.key_id}" if who.key_id is not None else f"{who.role} {who.name}"
    return partial(_run, engines, who, Claim(caller, _unquoted(idempotency_key), sha256(asked).digest()))


def _said(body: bytes) -> bytes:
    """Return a body such that two of the same JSON are the same bytes; what is no JSON stays as it is."""
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except ValueError:
        return body


def _unquoted(key: str) -> str:
    """Return a key without the quotes that the draft wants around it and many clients leave out."""
    bare = key[1:-1] if len(key) > 2 and key[0] == key[-1] == '"' else key
    return bare.replace('\\"', '"').replace("\\\\", "\\") if bare is not key else key


def _run(engines: Engines, who: Principal, claim: Claim | None, work: Work) -> Response:
    with transaction(engines, who) as conn:
        answer = idempotency.claim(conn, claim) if claim else None
        if answer is not None:
            return _response(answer, {"Idempotency-Replayed": "true"})
        made = work(conn)
        answer = Kept(made.status, made.location, orjson.dumps(made.body, option=_AS_ELSEWHERE))
        if claim is not None:
            idempotency.keep(conn, claim, answer)
    return _response(answer, {})


def _response(answer: Kept, headers: dict[str, str]) -> Response:
    where = {"Location": answer.location} if answer.location else {}
    return Response(answer.body, answer.status, where | headers, media_type="application/json")


RunOnce = Annotated[Once, Depends(once)]
