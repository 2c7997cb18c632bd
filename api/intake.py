"""Incidents as they come in, are read, and move through their life."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import Connection

from api.access import audience
from api.codes import Code, Line, Prose, Real
from api.deps import DatumName, Transaction
from api.once import Made, RunOnce
from api.times import Time
from gis import clocks, crs, incidents, lifelines
from gis.crs import Datum
from gis.schema import COLOURS, SOURCES, STATES

router = APIRouter()
Id = Annotated[int, Path(ge=1, lt=2**53)]
Note = Annotated[Prose | None, Field(max_length=2000)]


class NewIncident(BaseModel):
    """An incident as reported; a naive time is in the city's zone."""

    model_config = ConfigDict(extra="forbid")

    category: Code
    source: Literal[SOURCES]  # type: ignore[valid-type]
    occurred_at: Time
    lon: Annotated[Real, Field(ge=-180, le=180, allow_inf_nan=False)]
    lat: Annotated[Real, Field(ge=-90, le=90, allow_inf_nan=False)]
    datum: Datum = "wgs84"
    colour: Literal[COLOURS] | None = None  # type: ignore[valid-type]
    """Blue where none is given."""
    occurred_until: Time | None = None
    """The end of the span in which it happened, where no more is known."""
    reported_at: Time | None = None
    description: Note = None
    address: Annotated[Line | None, Field(max_length=400)] = None
    accuracy_m: Annotated[Real | None, Field(ge=0, le=1e6, allow_inf_nan=False)] = None
    recorded_grid: Code | None = None
    code: Code | None = None
    origin: Annotated[Code, Field(max_length=80)] = "intake"
    """The system that a report comes from; `origin_id` is its name for it, by which it comes once."""
    origin_id: Code | None = None


class Move(BaseModel):
    """A step in an incident's life; a naive time is in the city's zone."""

    model_config = ConfigDict(extra="forbid")

    to: Literal[STATES]  # type: ignore[valid-type]
    note: Note = None
    at: Time | None = None


class StepCorrection(BaseModel):
    """A step at its right time, or taken back; `at` null or left out takes it back."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[Prose, Field(min_length=1, max_length=2000)]
    at: Time | None = None


@router.post(
    "/incidents", status_code=201, openapi_extra=audience("field", "only places inside it may be reported")
)
def report(once: RunOnce, body: NewIncident) -> Response:
    """Take in an incident: its cells and its owner are found in the same transaction.

    The same report again, by `Idempotency-Key` or by `origin` and `origin_id`, is the same incident.
    """

    def work(conn: Connection) -> Made:
        new = incidents.add(conn, incidents.Report(**body.model_dump(exclude_none=True)))
        found = incidents.get(conn, new)
        notes = clocks.notes(body.model_dump(), vars(found))
        return Made(_told(found, body.datum, notes), 201, f"/incidents/{new}")

    return once(work)


@router.get("/incidents/{incident_id}", openapi_extra=audience("field", "only incidents inside it"))
def incident(transaction: Transaction, incident_id: Id, datum: DatumName = "wgs84") -> dict[str, Any]:
    """Answer one incident with its life so far."""
    with transaction() as conn:
        return _told(incidents.get(conn, incident_id), datum)


@router.post(
    "/incidents/{incident_id}/transitions", openapi_extra=audience("field", "only incidents inside it")
)
def move(once: RunOnce, incident_id: Id, body: Move, datum: Annotated[Datum, Query()] = "wgs84") -> Response:
    """Move an incident on: reported, dispatched, handling, verifying, closed; or withdraw it."""

    def work(conn: Connection) -> Made:
        notes = incidents.transition(conn, incident_id, body.to, body.note, body.at)
        return Made(_told(incidents.get(conn, incident_id), datum, notes))

    return once(work)


@router.post(
    "/incidents/{incident_id}/transitions/{step_id}/correction",
    openapi_extra=audience("commander", "only incidents inside it"),
)
def correct_step(
    once: RunOnce, incident_id: Id, step_id: Id, body: StepCorrection,
    datum: Annotated[Datum, Query()] = "wgs84",
) -> Response:  # fmt: skip
    """Give a wrong step its right time, or take the last one back; the wrong one stays in the record."""

    def work(conn: Connection) -> Made:
        notes = lifelines.correct_step(conn, incident_id, step_id, body.note, body.at)
        return Made(_told(incidents.get(conn, incident_id), datum, notes))

    return once(work)


def _told(found: incidents.Incident, datum: Datum, notes: list[str] | None = None) -> dict[str, Any]:
    """Return an incident as a feature; `notes` say what was done to what was sent."""
    fields = asdict(found)
    lon, lat = fields.pop("lon"), fields.pop("lat")
    place = None if lon is None else crs.point_from_wgs84(lon, lat, datum)
    shape = place and {"type": "Point", "coordinates": place}
    told = {"type": "Feature", "id": fields.pop("id"), "geometry": shape, "properties": fields}
    return told | ({"notes": notes} if notes else {})
