"""An import under way: what is asked, what it knows of the store, and what it has counted."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import city as cities
from gis import demo_keys
from gis.crs import DATUMS
from gis.errors import BadInput
from gis.importing import evidence as datum_evidence
from gis.importing import ground as city_ground
from gis.importing.evidence import Evidence
from gis.importing.gazetteer import Gazetteer
from gis.importing.ground import Ground
from gis.importing.kinds import Kind
from gis.importing.mapping import Mapping, choose, missing, pick
from gis.importing.parsing import Rules
from gis.importing.placing import Ways
from gis.importing.refusals import RefusedFile
from gis.importing.source import Source
from gis.importing.staging import Merged
from gis.importing.times import moment
from gis.schema import batches, categories, city
from gis.settings import settings


def _silent(_rows: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to import: the mapping (None: the one that fits), the datum said (None: the mapping's, or WGS-84).

    `origin`: the name of the source system (None: the mapping's).
    `ground`: the city's grids where they are at hand (None: they are asked of the store).
    `dissolve`: columns by which grids are dissolved into the levels above them, from the highest down.
    `end`: grids end with the last day that the file gives, whatever is known of them behind it.
    `refused`: where refused rows go (None: under the data directory); `progress` is told the rows read.
    """

    mapping: Mapping | None = None
    datum: str | None = None
    origin: str | None = None
    refused: Path | None = None
    accept_faults: bool = False
    accept_ballpark: bool = False
    repair: bool = False
    dissolve: tuple[str, ...] = ()
    end: bool = False
    ground: Ground | None = None
    progress: Callable[[int], None] = _silent


@dataclass
class Job:
    """One import under way; `unowned` counts accepted rows in no grid, `parts` rows cut off others.

    `clamped`: times a little ahead of our clock, taken as now; `converted`: speeds in miles an hour.
    """

    kind: Kind
    source: Source
    mapping: Mapping
    datum: str | None
    rules: Rules
    ground: Ground
    refused: RefusedFile
    ways: Ways = field(default_factory=Ways)
    evidence: Evidence = field(default_factory=Evidence)
    cells: set[int] = field(default_factory=set)
    rows: int = 0
    unowned: int = 0
    parts: int = 0
    clamped: int = 0
    converted: int = 0
    notes: list[str] = field(default_factory=list)
    addresses: Gazetteer | None = None

    def count_parts(self, more: int) -> None:
        """Count rows that came of one row's several lines."""
        self.rows += more
        self.parts += more

    @property
    def said(self) -> str:
        """The datum that coordinates are taken to be in."""
        return self.datum or "wgs84"


@dataclass(frozen=True)
class Outcome:
    """What an import did: accepted + refused = rows, and inserted + updated + unchanged + kept = accepted."""

    kind: str
    file: str
    mapping: str
    datum: str
    rows: int
    refused: int
    inserted: int
    updated: int
    unchanged: int
    kept: int
    refused_file: Path | None
    reasons: dict[tuple[str, str], int]
    values: dict[tuple[str, str], Counter[str]]
    notes: list[str]

    @property
    def accepted(self) -> int:
        """Rows that were not refused."""
        return self.rows - self.refused


def prepare(conn: Connection, kind: Kind, source: Source, options: Options) -> Job:
    """Return the job with its mapping and datum settled, and what the store says that rows depend on.

    Raises BadInput when no mapping fits, a column is missing, or a heading names another datum.
    """
    said = options.mapping.datum if options.mapping else None
    datum_evidence.check_headings(source.columns, options.datum or said)
    mapping = options.mapping or choose(kind, source.columns, has_geometry=source.has_geometry)
    if options.origin:
        mapping = mapping.model_copy(update={"origin": options.origin})
    if absent := missing(mapping, kind, source.columns, has_geometry=source.has_geometry):
        raise BadInput("columns", _absent(absent, mapping, source))
    if mapping.city:
        cities.declare(conn, mapping.city)
    datum = options.datum or mapping.datum
    if datum is not None and datum not in DATUMS:
        raise BadInput("datum", f"{datum!r} is unknown; use one of {', '.join(DATUMS)}")
    refused = RefusedFile(options.refused or _refused_path(source), source)
    job = Job(
        kind,
        source,
        mapping,
        datum,
        rules(conn, mapping, kind, since_1904=source.since_1904),
        options.ground or city_ground.load(conn),
        refused,
        Ways(options.accept_ballpark, options.repair),
    )
    job.notes.extend(source.notes)
    if unused := sorted(set(source.columns) - mapping.used(source.columns) - _dissolved(source, options)):
        job.notes.append(f"columns that mapping {mapping.name} does not use: {', '.join(unused)}")
    return job


def _dissolved(source: Source, options: Options) -> set[str | None]:
    """Return the columns that levels above are made by."""
    return {pick(name, source.columns) for name in options.dissolve}


def _absent(absent: list[str], mapping: Mapping, source: Source) -> str:
    return (
        f"mapping {mapping.name} finds nothing for {', '.join(absent)} among {', '.join(source.columns)}; "
        "name the column in the mapping, or give a default there"
    )


def _refused_path(source: Source) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return settings().data_dir / "refused" / f"{Path(source.name).stem}-{stamp}.csv"


def rules(conn: Connection, mapping: Mapping, kind: Kind | None = None, *, since_1904: bool = False) -> Rules:
    """Return what parsing depends on: the mapping's zone or the city's, plausible times, categories.

    `since_1904`: Excel's numbers of days count from there.

    Raises BadInput for a kind with times while neither says in which zone they are.
    """
    home = conn.execute(sa.select(city.c.timezone)).scalar()
    zone = mapping.zone or home
    if zone is None and kind and any(field.parse is moment for field in kind.fields):
        raise BadInput("zone", f"{kind.name} have times, and {cities.UNSET}; or put zone in the mapping")
    zone = zone or "UTC"
    earliest = datetime.combine(settings().earliest, time.min, ZoneInfo(zone))
    now = datetime.now(UTC)
    latest = now + timedelta(seconds=settings().clock_skew_s)
    names = _category_names(conn)
    excel = "excel_1904" if since_1904 else "excel"
    formats = tuple(mapping.formats)
    return Rules(zone, formats, earliest, latest, names, now, mapping.decimal, home or zone, excel)


def _category_names(conn: Connection) -> dict[str, str]:
    """Return code and unambiguous names of each category → its code; a code goes before a name."""
    rows = conn.execute(sa.select(categories.c.code, categories.c.name_zh, categories.c.name_en)).all()
    often = Counter(name for row in rows for name in {row.name_zh, row.name_en})
    names = {n: row.code for row in rows for n in (row.name_zh, row.name_en) if often[n] == 1}
    return names | {row.code: row.code for row in rows}


def new_batch(conn: Connection, job: Job, faults: dict[str, Any] | None = None) -> int:
    """Record the import and return its batch's id; `unchanged` follows once it is known."""
    refused = job.refused.count
    if demo_keys.end(conn):
        job.notes.append("the store is no demo any more, its keys are revoked: safetymap key create")
    insert = batches.insert().values(
        kind=job.kind.name, origin=job.mapping.origin, file=job.source.name, sha256=job.source.sha256,
        mapping=job.mapping.name, datum=job.said, rows=job.rows, accepted=job.rows - refused,
        refused=refused, unchanged=0, faults=faults, reading=job.ways.told(),
    )  # fmt: skip
    return int(conn.execute(insert.returning(batches.c.id)).scalar_one())


def _clamped(job: Job) -> list[str]:
    if not job.clamped:
        return []
    return [
        f"{job.clamped} times lay up to {settings().clock_skew_s:g} s ahead of our clock and are taken as now"
    ]


def _converted(job: Job) -> list[str]:
    return [f"{job.converted} speeds were in mph and are kept in km/h"] if job.converted else []


def outcome(job: Job, merged: Merged) -> Outcome:
    """Return what an import did."""
    refused = job.refused
    return Outcome(
        kind=job.kind.name, file=job.source.name, mapping=job.mapping.name, datum=job.said, rows=job.rows,
        refused=refused.count, inserted=merged.inserted, updated=merged.updated, unchanged=merged.unchanged,
        kept=merged.kept, refused_file=refused.path if refused.count else None,
        reasons=dict(refused.reasons), values=refused.values,
        notes=[*job.notes, *job.ways.notes(), *_clamped(job), *_converted(job)],
    )  # fmt: skip
