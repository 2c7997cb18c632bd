"""Serving from archives of tiles: the list, single tiles, TileJSON, and the file itself in ranges."""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from gzip import decompress
from os import stat_result
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers

from api.access import Who, audience, demand, demand_export
from api.deps import Open, Transaction
from api.door import MVT
from gis import grids
from gis.access import Principal, rank
from gis.errors import BadParameter, NotAnArchive, NotFound
from gis.grids import Asked, Wish
from tiles import tilejson
from tiles.archive import SUFFIX, Archive
from tiles.tile import Tile

router = APIRouter()
FOLDER = "archives"
"""Under the data directory: what lies here is served."""
PMTILES = "application/vnd.pmtiles"
Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{1,80}$", description="The file's name without suffix.")]
_DECLARED = audience("public", "by archive: whose scope holds all that it shows", detail=True)
Documented = dict[int | str, dict[str, Any]]
_TILE: Documented = {
    200: {"content": {MVT: {}}},
    204: {"description": "Nothing lies in the tile."},
    304: {"description": "The tile is as If-None-Match knows it."},
}
_FILE: Documented = {
    200: {"content": {PMTILES: {}}},
    206: {"description": "The ranges asked for."},
    304: {"description": "The archive is as If-None-Match knows it."},
    416: {"description": "The archive is shorter than the range."},
}


@lru_cache(maxsize=64)
def _opened(file: Path, changed_ns: int, size: int) -> Archive:  # noqa: ARG001 - a new state is a new archive
    return Archive(file)


def _folder(request: Request) -> Path:
    return Path(request.app.state.data_dir) / FOLDER


def _present(file: Path) -> tuple[Archive, stat_result]:
    """Open an archive. Raises NotFound where there is none, NotAnArchive for anything else."""
    try:
        state = file.stat()
    except OSError as error:
        raise NotFound(f"there is no archive {file.stem}; GET /archives lists them") from error
    return _opened(file, state.st_mtime_ns, state.st_size), state


def _shown(request: Request, transaction: Open, who: Principal, name: str) -> tuple[Archive, stat_result]:
    """Return an archive that `who` may see. Raises NotFound, Unknown or Forbidden."""
    archive, state = _present(_folder(request) / (name + SUFFIX))
    demand(who, archive.imprint.audience)
    if not _in_scope(archive, transaction, who):
        raise NotFound(f"there is no archive {name}; GET /archives lists them")
    return archive, state


def _in_scope(archive: Archive, transaction: Open, who: Principal) -> bool:
    """Say whether the scope of `who` now covers that of the archive as it was when that was made."""
    made = archive.imprint
    if made.audience == "public" or who.scope is None:
        return True
    if made.scope is None or made.scheme != who.scheme:
        return False
    with transaction() as conn:
        now = grids.resolve(conn, Wish(who.scheme))
        return grids.covers(
            conn, (now, who.scope), (Asked(made.scheme, date.fromisoformat(made.on), made.known), made.scope)
        )


def _tag(state: stat_result, *parts: int) -> str:
    """An archive is replaced as a whole: its time and size stand for all in it."""
    return '"' + "-".join(f"{part:x}" for part in (state.st_mtime_ns, state.st_size, *parts)) + '"'


def _kept(archive: Archive) -> dict[str, str]:
    """May be kept by anybody if public, always asking again; what is protected is told so by `Limits`."""
    return {"Cache-Control": "public, no-cache"} if archive.imprint.audience == "public" else {}


def _is_known(request: Request, tag: str) -> bool:
    told = request.headers.get("if-none-match", "")
    return told == "*" or tag in [one.strip().removeprefix("W/") for one in told.split(",")]


@router.get("/archives", openapi_extra=_DECLARED)
def archives(request: Request, transaction: Transaction, who: Who) -> list[dict[str, Any]]:
    """Answer the archives that whoever asks may see, by name; all of them."""
    return [
        {"name": file.stem, "layer": archive.imprint.layer, "audience": archive.imprint.audience}
        | {"scope": archive.imprint.scope, "data_version": archive.imprint.data_version}
        | {"minzoom": archive.header["min_zoom"], "maxzoom": archive.header["max_zoom"]}
        | {"bytes": file.stat().st_size}
        for file, archive in _all(_folder(request))
        if rank(archive.imprint.audience) <= who.rank and _in_scope(archive, transaction, who)
    ]


def _all(folder: Path) -> Iterator[tuple[Path, Archive]]:
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            yield file, _present(file)[0]
        except NotAnArchive:
            continue


@router.get(
    "/archives/{name}/{z}/{x}/{y}.mvt",
    response_class=Response,
    openapi_extra=_DECLARED,
    responses=_TILE,
)
def archived_tile(
    request: Request, transaction: Transaction, who: Who, name: Name, z: int, x: int, y: int
) -> Response:
    """Answer one tile of an archive; 204 when it has none there."""
    archive, state = _shown(request, transaction, who, name)
    square = Tile(z, x, y)
    packed = _takes_gzip(request.headers)
    headers = _kept(archive) | {"Vary": "Accept-Encoding", "ETag": _tag(state, z, x, y, packed)}
    if _is_known(request, headers["ETag"]):
        return Response(None, 304, headers)
    body = archive.tile(square)
    if body is None:
        return Response(None, 204, headers)
    if packed:
        return Response(body, 200, headers | {"Content-Encoding": "gzip"}, MVT)
    return Response(decompress(body), 200, headers, MVT)


def _takes_gzip(headers: Headers) -> bool:
    """Say whether gzip is accepted (RFC 9110, 12.5.3): named, or by *, with a weight above 0."""
    told = dict(
        part.partition(";q=")[::2]
        for part in headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    )
    weight = told.get("gzip", told.get("*", "0"))
    return weight.strip("0.") != "" or weight == ""


@router.get("/archives/{name}.json", openapi_extra=_DECLARED)
def archived_tile_json(request: Request, transaction: Transaction, who: Who, name: Name) -> dict[str, Any]:
    """Answer an archive's TileJSON 3.0."""
    archive, _ = _shown(request, transaction, who, name)
    fields = archive.about["vector_layers"][0]["fields"]
    zooms = (archive.header["min_zoom"], archive.header["max_zoom"])
    template = f"{request.base_url}archives/{name}/{{z}}/{{x}}/{{y}}.mvt"
    return tilejson.document(
        archive.imprint.layer, template, zooms, archive.box, fields, archive.about["attribution"]
    )


_RANGES = re.compile(r"bytes\s*=\s*(?:(?:[0-9]+-[0-9]*|-[0-9]+)(?:\s*,\s*|$))+", re.IGNORECASE)


def _check_ranges(given: str | None) -> None:
    """Raise BadParameter for a `Range` (RFC 9110, 14.1.2) that is none."""
    if given is None:
        return
    pairs = re.findall(r"([0-9]+)-([0-9]+)", given)
    if not _RANGES.fullmatch(given.strip()) or any(int(start) > int(end) for start, end in pairs):
        raise BadParameter("Range", "is no range of bytes; write it as bytes=0-16383")


@router.get(
    "/archives/{name}.pmtiles",
    response_class=FileResponse,
    openapi_extra=_DECLARED,
    responses=_FILE,
)
def archive_file(request: Request, transaction: Transaction, who: Who, name: Name) -> Response:
    """Answer an archive as it is, or ranges of it: what MapLibre's `pmtiles://` asks for.

    What is not public then leaves as a file, which is a right of its own.
    """
    archive, state = _shown(request, transaction, who, name)
    if archive.imprint.audience != "public":
        demand_export(who)
    headers = _kept(archive) | {"ETag": _tag(state)}
    if _is_known(request, headers["ETag"]):
        return Response(None, 304, headers)
    _check_ranges(request.headers.get("range"))
    file = _folder(request) / (name + SUFFIX)
    return FileResponse(file, headers=headers, media_type=PMTILES, stat_result=state)
