"""Writing one incident: added, corrected, moved through its life, withdrawn; cells change with it."""

import json
import os
import secrets
import unicodedata
from collections.abc import Mapping as Fields
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from gis import clocks, grids, lifelines
from gis.crs import WGS84
from gis.db import Record
from gis.errors import BadInput, NotFound, OtherRequest
from gis.importing import frames, ground, job, mapping, run, staging
from gis.importing.kinds import KINDS
from gis.importing.refusals import RefusedFile
from gis.lifelines import NEXT
from gis.schema import city, incidents, transitions

CORRECTABLE = (
    "category", "source", "colour", "occurred_at", "occurred_until", "reported_at", "description", "address",
    "accuracy_m", "recorded_grid", "lon", "lat", "datum",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """An incident as it comes in: `lon`, `lat` in degrees of `datum`; times with a zone, or in the city's.

    `colour`: blue where none is given. `code`: the unified code, given here when it comes without. (`origin`,
    `origin_id`): whence it came and its id there, the code when it has none.
    """

    category: str
    source: str
    occurred_at: datetime
    lon: float
    lat: float
    colour: str | None = None
    occurred_until: datetime | None = None
    """The end of the span in which it happened, where no more is known."""
    reported_at: datetime | None = None
    description: str | None = None
    address: str | None = None
    accuracy_m: float | None = None
    recorded_grid: str | None = None
    datum: str = "wgs84"
    code: str | None = None
    origin: str = "intake"
    origin_id: str | None = None


@dataclass(frozen=True)
class Incident:
    """One incident as it stands, and the steps of its life; `lon`, `lat` in WGS-84 degrees."""

    id: int
    code: str
    category: str
    source: str
    colour: str
    state: str
    occurred_at: datetime
    occurred_until: datetime | None
    occurred_precision: str
    reported_at: datetime
    responded_at: datetime | None
    closed_at: datetime | None
    description: str | None
    address: str | None
    accuracy_m: float | None
    lon: float | None
    lat: float | None
    grid_code: str | None
    """The grid of the default scheme that owns the place on the day, as is known now."""
    next_states: tuple[str, ...]
    transitions: list[dict[str, Any]]


def get(conn: Connection, incident_id: int) -> Incident:
    """Return an incident. Raises NotFound when there is none, or none that the asker may see."""
    columns = [field.name for field in fields(Incident)][:-5]
    place = (sa.func.ST_X(incidents.c.geom).label("lon"), sa.func.ST_Y(incidents.c.geom).label("lat"))
    one = sa.select(*(incidents.c[name] for name in columns), *place).where(incidents.c.id == incident_id)
    row = conn.execute(one).one_or_none()
    if row is None:
        raise NotFound(f"there is no incident {incident_id}")
    t = transitions.c
    names = ("id", "from_state", "to_state", "at", "note", "corrects")
    steps = sa.select(*(t[name] for name in names)).where(t.incident_id == incident_id)
    life = [dict(step) for step in conn.execute(steps.order_by(t.id)).mappings()]
    owner = _owner(conn, row.lon, row.lat, row.occurred_at)
    return Incident(**row._mapping, grid_code=owner, next_states=NEXT[row.state], transitions=life)


def _owner(conn: Connection, lon: float | None, lat: float | None, moment: datetime) -> str | None:
    if lon is None or lat is None:
        return None
    zone = conn.execute(sa.select(city.c.timezone)).scalar() or "UTC"
    try:
        chain = grids.chain(conn, lon, lat, grids.Wish(on=moment.astimezone(ZoneInfo(zone)).date()))
    except NotFound:
        return None
    return str(chain.links[0]["code"])


def add(conn: Connection, report: Report) -> int:
    """Add an incident with its cells and its owner, and return its id; that of a report that came before.

    Raises BadInput naming the field when the importer would refuse it or its code is taken, OtherRequest when
    (origin, origin_id) came before with another report.
    """
    clocks.check_years(asdict(report))
    known = _reported(conn, report)
    if known is not None:
        return known
    for _ in range(1 if report.code else _CODES_TRIED):
        new = _added(conn, report)
        if new is not None:
            return new
    known = _reported(conn, report)
    if known is None:
        name = "code" if report.code else "origin_id"
        raise BadInput(name, "is taken by another incident; leave it out to get one")
    return known


def _added(conn: Connection, report: Report) -> int | None:
    """Add an incident; return None where its code or its origin's id is taken, by whomever, seen or not.

    The index says so: a question before would miss what others commit meanwhile, and what lies out of scope.
    """
    new = _UNCOUNTED + secrets.randbelow(2**53 - _UNCOUNTED)
    code = report.code or _unified_code(report.occurred_at)
    given = _DEFAULTS | _given(report) | {"code": code, "origin_id": report.origin_id or code}
    row = _checked(conn, given, named={} if report.origin_id else {"origin_id": "code"})
    values = {"id": new, "origin": report.origin, "report_hash": _hash(conn, report), **row}
    adding = insert(incidents).values(values).on_conflict_do_nothing().returning(incidents.c.id)
    if conn.execute(adding).one_or_none() is None:
        return None
    _record(conn, new, None, "reported", row["reported_at"], None)
    return new


_PROSE = ("description", "address")
"""What people write, with any sign at its beginning; it is escaped where it leaves as a sheet."""
_SAID = (
    "category", "source", "colour", "occurred_at", "occurred_until", "reported_at", "accuracy_m",
    "recorded_grid",
)  # fmt: skip
"""What an incident and a report of it have in common, besides their place and prose."""
_DEFAULTS = {"colour": "blue", "state": "reported"}


_SAME_PLACE_DEG = 2e-7
"""Two centimetres: what rounding and the way to another datum and back do to one place."""


def _contradicted(conn: Connection, incident_id: int, report: Report) -> list[str]:
    """Return the fields in which an incident says otherwise than a report, by the import's own rules.

    What the report leaves out contradicts nothing.
    """
    i, given = incidents.c, _given(report)
    mine = i.id == incident_id
    code = conn.execute(sa.select(i.code).where(mine)).scalar_one()
    row = _checked(conn, _DEFAULTS | {"code": code, "origin_id": code} | given)
    names = ("code", *(name for name in _SAID if name in given))
    same = {name: i[name].is_not_distinct_from(sa.cast(row[name], i[name].type)) for name in names}
    same |= {"lon/lat": sa.func.ST_DWithin(i.geom, sa.cast(row["geom"], i.geom.type), _SAME_PLACE_DEG)}
    found = conn.execute(sa.select(*(is_it.label(name) for name, is_it in same.items())).where(mine)).one()
    prose = conn.execute(sa.select(*(i[name] for name in _PROSE)).where(mine)).one()._mapping
    other = [name for name in _PROSE if row[name] and _read(row[name]) != _read(prose[name] or "")]
    return [name for name, is_it in found._mapping.items() if not is_it] + other


def _read(text: str) -> str:
    """Return a text as it reads: line ends, widths and the make of accents aside."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _given(report: Report) -> dict[str, Any]:
    return {name: value for name, value in asdict(report).items() if value is not None}


def _reported(conn: Connection, report: Report) -> int | None:
    """Return the incident that a report with its origin's id made before. Raises OtherRequest."""
    if report.origin_id is None:
        return None
    i = incidents.c
    same = sa.select(i.id, i.report_hash).where(i.origin == report.origin, i.origin_id == report.origin_id)
    found = conn.execute(same).one_or_none()
    if found is None:
        return None
    # as it was reported, though it may have been corrected since; else as it stands
    if found.report_hash != _hash(conn, report) and (wrong := _contradicted(conn, found.id, report)):
        told = f"{report.origin_id!r} of {report.origin} came before with another {', '.join(wrong)}"
        raise OtherRequest("origin_id", f"{told}; correct that one")
    return int(found.id)


def _hash(conn: Connection, report: Report) -> bytes:
    """Return the SHA-256 of what was reported; a moment is the same in every zone, left out or not."""
    given = asdict(report) | {"colour": report.colour or _DEFAULTS["colour"]}
    times = clocks.moments(conn, report.occurred_at, report.occurred_until, report.reported_at)
    given |= dict(zip(("occurred_at", "occurred_until", "reported_at"), times, strict=True))
    if report.occurred_until is None:
        del given["occurred_until"]  # which reports did not have when others were hashed
    told = {name: str(value) for name, value in given.items()}
    return sha256(json.dumps(told, sort_keys=True).encode()).digest()


def correct(conn: Connection, incident_id: int, changes: Fields[str, Any], note: str | None = None) -> None:
    """Change fields of an incident (CORRECTABLE); a new place or day finds its cells and owner anew.

    `lon`, `lat` in degrees of `datum` (default WGS-84) go together. Raises NotFound when there is no such
    incident, BadInput when it is withdrawn or the importer would refuse the result.
    """
    old = _locked(conn, incident_id)
    if old.state == "withdrawn":
        raise BadInput("state", "a withdrawn incident is not corrected; report it anew")
    if wrong := sorted(set(changes) - set(CORRECTABLE)):
        raise BadInput(wrong[0], f"cannot be corrected; what can: {', '.join(CORRECTABLE)}")
    if ("lon" in changes) != ("lat" in changes) or ("datum" in changes and "lon" not in changes):
        raise BadInput("lon/lat", "go together; give both when one changes, or the datum does")
    moved = {"lon": old.lon, "lat": old.lat, "datum": "wgs84"} | dict(changes)
    clocks.check_years(changes)
    if "lon" in changes:
        moved["placed_by"] = None
    row = _checked(conn, {name: getattr(old, name) for name in _KEPT} | moved)
    if "occurred_at" not in changes:
        row["occurred_precision"] = old.occurred_precision
    if "lon" not in changes:
        row["datum"] = old.datum
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**row))
    _record(
        conn, incident_id, old.state, old.state, datetime.now(UTC), note or f"corrected {', '.join(changes)}"
    )


def transition(
    conn: Connection, incident_id: int, to_state: str, note: str | None = None, at: datetime | None = None
) -> list[str]:
    """Move an incident to its next state at a moment (default now), and return what was done to that moment.

    A moment that another clock puts a little into the future is taken as now, a little before the last step
    as that step's. The first handling sets responded_at, closing sets closed_at. Raises NotFound when there
    is no such incident, BadInput when that step is not allowed from its state, lies before the last one or in
    the future. A naive moment is in the city's zone.
    """
    old = _locked(conn, incident_id)
    _check_step(old, to_state)
    moment, told = clocks.of_step(at and clocks.in_city(conn, at), _last_step(conn, old))
    values: dict[str, Any] = {"state": to_state}
    if to_state == "handling" and old.responded_at is None:
        values["responded_at"] = moment
    if to_state == "closed":
        values["closed_at"] = moment
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**values))
    _record(conn, incident_id, old.state, to_state, moment, note)
    return told


def withdraw(conn: Connection, incident_id: int, note: str) -> None:
    """Withdraw an incident that should not be counted; it stays in the table with the reason.

    Raises NotFound when there is no such incident, BadInput when it is closed, or withdrawn already.
    """
    transition(conn, incident_id, "withdrawn", note)


_KEPT = (
    "origin_id", "code", "category", "source", "colour", "state", "occurred_at", "occurred_until",
    "reported_at", "responded_at", "closed_at", "description", "address", "accuracy_m", "recorded_grid",
    "placed_by",
)  # fmt: skip
_CODES_TRIED = 5
_MAPPING = mapping.plain("incidents", "intake")


_UNCOUNTED = 2**40
"""From here on ids of reports are drawn at random; imports count below. Numbers in a row would tell a county
how much is reported in all others (German tank problem)."""


def _unified_code(occurred_at: datetime) -> str:
    """Return a code from the day and ten digits drawn at random, which nobody can guess or count by."""
    return f"{occurred_at:%Y%m%d}-{secrets.randbelow(10**10):010d}"


def _checked(
    conn: Connection, given: Fields[str, Any], named: Fields[str, str] | None = None
) -> dict[str, Any]:
    """Return an incident's columns by the very rules of an import, and make its cells known.

    `named`: field → the one that it was taken from. Raises BadInput with the reason that an import would
    refuse the row for.
    """
    fields = [*(field.name for field in KINDS["incidents"].fields), "lon", "lat"]
    asked = {name: None if name in _PROSE else given.get(name) for name in fields}
    one = frames.from_frame(pd.DataFrame([asked]), "one incident")
    near = (float(given["lon"]), float(given["lat"]))
    task = job.Job(
        KINDS["incidents"], one, _MAPPING, given["datum"], job.rules(conn, _MAPPING, KINDS["incidents"]),
        ground.load(conn, near), RefusedFile(Path(os.devnull), one),
    )  # fmt: skip
    columns, refusals = run.examine(task, next(one.chunks()))
    if refusals:
        field = refusals[0].field
        raise BadInput((named or {}).get(field, field), f"{refusals[0].value!r} {refusals[0].reason}")
    staging.add_cells(conn, np.fromiter(task.cells, np.uint64, len(task.cells)))
    kept = {*incidents.c.keys()} - {"origin"}
    row: dict[str, Any] = {name: values[0].as_py() for name, values in columns.items() if name in kept}
    row |= {name: (given.get(name) or "").strip() or None for name in _PROSE}
    row["geom"] = f"SRID={WGS84};{shapely.to_wkt(shapely.from_wkb(row['geom']), rounding_precision=-1)}"
    return row


def _locked(conn: Connection, incident_id: int) -> Record:
    """Return an incident with its place, locked until the transaction ends."""
    place = (sa.func.ST_X(incidents.c.geom).label("lon"), sa.func.ST_Y(incidents.c.geom).label("lat"))
    found = sa.select(incidents, *place).where(incidents.c.id == incident_id).with_for_update()
    row = conn.execute(found).one_or_none()
    if row is None:
        raise NotFound(f"no incident {incident_id}")
    return row


def _check_step(old: Record, to_state: str) -> None:
    if to_state not in NEXT[old.state]:
        allowed = ", ".join(NEXT[old.state]) or "nowhere"
        raise BadInput(
            "to_state", f"{to_state!r} does not follow {old.state}; from there it goes to {allowed}"
        )


def _last_step(conn: Connection, old: Record) -> datetime:
    """Return when an incident's last standing step was: before it nothing can follow."""
    times: list[datetime] = [old.reported_at, *(step.at for step in lifelines.standing(conn, old.id))]
    return max(times)


def _record(
    conn: Connection, incident_id: int, old: str | None, new: str, moment: datetime, note: str | None
) -> None:
    values = {"incident_id": incident_id, "from_state": old, "to_state": new, "at": moment, "note": note}
    conn.execute(transitions.insert().values(**values))
