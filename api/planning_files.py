"""Plans as files over HTTP: a draft out to other tools, and a map drawn elsewhere in as a step of a draft."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import geopandas as gpd
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from sqlalchemy.engine import Connection

from api import planning, planning_told
from api.access import Who, audience
from api.deps import Transaction
from api.once import Made, Once, RunOnce
from gis import faults, plan_files, plans
from gis.errors import BadInput, Faulty
from gis.importing.source import ReadOptions

router = APIRouter()
MEDIA = {
    "gpkg": "application/geopackage+sqlite3",
    "geojson": "application/geo+json",
    "shp.zip": "application/zip",
}
Said = Annotated[str | None, Query(max_length=200)]
SUFFIXES = (".gpkg", ".geojson", ".json", ".zip", ".fgb", ".kml")
_INSIDE = "only plans whose scope lies inside it"
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {media: {} for media in MEDIA.values()}}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}}


@router.get(
    "/plans/{plan_id}/export",
    response_class=Response,
    responses=_FILE,
    openapi_extra=audience("commander", _INSIDE),
)
def export(
    transaction: Transaction,
    plan_id: planning.Id,
    form: Annotated[Literal["gpkg", "geojson", "shp.zip"], Query(alias="format")] = "gpkg",
) -> Response:
    """Answer a plan's lowest grids, as `/grids` shows them, as a file; a GeoPackage has those above, too."""
    with transaction() as conn:
        here = planning_told.shown(conn, plan_id, None)
        differ = plans.changed(here)
    marks = {code: "changed" if before else "new" for code, (before, _) in differ.items()}
    name = f'attachment; filename="plan-{plan_id}.{form}"'
    body = plan_files.write(here.cov, marks, form, here.base.cov)
    return Response(body, media_type=MEDIA[form], headers={"Content-Disposition": name})


@router.post("/plans/{plan_id}/import", openapi_extra=audience("planner", _INSIDE) | _BODY)
async def bring(
    once: RunOnce,
    request: Request,
    who: Who,
    plan_id: planning.Id,
    *,
    name: Annotated[str, Query(max_length=200, description="The file's name; its suffix tells the format.")],
    crs: Annotated[Said, Query(description="Its coordinate system, where it says none: EPSG:4547.")] = None,
    encoding: Annotated[Said, Query(description="Of its texts: gb18030, windows-1252 …")] = None,
    layer: Annotated[Said, Query(description="Of several; `grids` where there is one.")] = None,
    head: Annotated[
        int | None, Query(ge=0, lt=2**53, description="Where the plan is believed to stand; 0: its base.")
    ] = None,
) -> Response:
    """Take over the lowest grids of a file as one step; 422 with its errors where it does not fit."""
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput("name", f"its suffix is none of {', '.join(SUFFIXES)}")
    body = await request.body()
    reading = ReadOptions(layer=layer, encoding=encoding, crs=crs)
    return await run_in_threadpool(_bring, once, who, plan_id, _Sent(suffix, body, reading, head))


@dataclass(frozen=True)
class _Sent:
    """A file as it was sent, and what was said of it."""

    suffix: str
    body: bytes
    reading: ReadOptions
    head: int | None

    def believed(self) -> int | None:
        """Return the step at which the plan is believed to stand, None for its base."""
        return plans.ANYWHERE if self.head is None else self.head or None

    def read(self) -> gpd.GeoDataFrame:
        """Return its grids. Raises BadInput in words of the request: parameters, not options of a command."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"plan{self.suffix}"
            path.write_bytes(self.body)
            try:
                return plan_files.read(path, self.reading)
            except BadInput as error:
                raise BadInput(error.field.lstrip("-"), _OPTION.sub(r"\1=", error.detail)) from error


_OPTION = re.compile(r"--([a-z]+)\b[ =]?")


def _bring(once: Once, who: Who, plan_id: int, sent: _Sent) -> Response:
    drawn = sent.read()

    def work(conn: Connection) -> Made:
        here = plans.locked(conn, plan_id, sent.believed())
        found = plan_files.bring(here.cov, drawn)
        if found.faults:
            text = f"the file has {len(found.faults)} errors; put them right and bring it in again"
            raise Faulty(text, faults.to_geojson(found.faults))
        if found.step is None:
            raise BadInput("file", "it shows the draft as it is; nothing to take over")
        return Made(planning.answer(conn, plans.take(conn, who, plan_id, found.step), "wgs84"))

    return once(work)
