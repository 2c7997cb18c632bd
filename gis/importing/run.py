"""One import from its source to the store: draft, place, own, stage, merge, in the caller's transaction."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import centrelines, grids, posting, staging, wide
from gis.importing.deriving import DERIVE, locate
from gis.importing.drafting import draft
from gis.importing.gazetteer import Gazetteer
from gis.importing.job import Job, Options, Outcome, new_batch, outcome, prepare
from gis.importing.kinds import KINDS
from gis.importing.late import LATE
from gis.importing.placing import Placed
from gis.importing.refusals import Refusal
from gis.importing.source import Chunk, Source
from gis.importing.unread_times import DAY_BEFORE_MONTH
from gis.schema import batches, metadata


def run(conn: Connection, kind: str, source: Source, options: Options) -> Outcome:
    """Import a source of `kind` and return what happened; commits nothing.

    Raises BadInput when the source as a whole is unusable: no mapping fits, a column is missing, most rows
    speak for another datum.
    """
    source = wide.joined(source)
    if kind == "grids":
        return grids.run(conn, source, options)
    job = prepare(conn, KINDS[kind], source, options)
    if kind == "incidents":
        job.addresses = Gazetteer(conn)
    staging.lock(conn, kind)
    try:
        _stage_all(conn, job, options)
        _refuse_late(conn, job)
    finally:
        job.refused.close()
    _judge(job)
    return _merge(conn, job)


def _stage_all(conn: Connection, job: Job, options: Options) -> None:
    """Bring all good rows to the stage."""
    made = False
    for chunk in job.source.chunks():
        job.rows += len(chunk) + len(chunk.broken)
        columns = stage_columns(job, chunk)
        if columns and not made:
            staging.create(conn, job.kind.table, columns)
            made = True
        if columns:
            staging.copy(conn, columns)
        options.progress(job.rows)
    if not made:
        reasons = job.refused.reasons.most_common(1)
        why = "".join(f": {rows} rows: {field} {reason}" for (field, reason), rows in reasons)
        raise BadInput("file", f"{job.source.name} has no usable row below its header{why}")
    staging.ready(conn)


def stage_columns(job: Job, chunk: Chunk) -> dict[str, pa.Array]:
    """Return a chunk's good rows as columns of the store; the others go to the refused file."""
    job.refused.add_broken(chunk)
    if not len(chunk):
        return {}
    columns, refusals = examine(job, chunk)
    job.refused.add(refusals, chunk)
    if "origin" in metadata.tables[job.kind.table].c:
        columns["origin"] = origins(columns, job.mapping.origin)
    return columns


def origins(columns: dict[str, pa.Array], usual: str) -> pa.Array:
    """Return the name of each row's source system: its own, or that of the import."""
    given = columns.get("origin", pa.nulls(len(columns["row_no"]), pa.string()))
    return pc.fill_null(given, usual)


def examine(job: Job, chunk: Chunk) -> tuple[dict[str, pa.Array], list[Refusal]]:
    """Return a chunk's good rows as columns of the store with `row_no`, and the refusals of the others."""
    made = draft(chunk, job.kind, job.mapping, job.rules)
    job.clamped += made.clamped
    job.converted += made.converted
    where = locate(job, made) if job.kind.shape else None
    if where is not None and job.kind.shape == "line":
        made, where = centrelines.parts(made, where)
        job.count_parts(len(made) - len(chunk))
    if job.kind.name in DERIVE:
        where = DERIVE[job.kind.name](job, made, where)
    good = made.sieve.ok
    wanted = {*metadata.tables[job.kind.table].c.keys(), *(field.name for field in job.kind.fields), "parts"}
    columns = {"row_no": pa.array(made.chunk.rows)} | {n: of for n, of in made.columns.items() if n in wanted}
    kept = {name: values.filter(pa.array(good)) for name, values in columns.items()}
    if where is not None:
        kept |= _geometry_columns(job, Placed(where.shape[good], where.lon[good], where.lat[good]))
    return kept, made.sieve.refusals


def _geometry_columns(job: Job, where: Placed) -> dict[str, pa.Array]:
    columns = {"geom": staging.hex_wkb(where.shape)}
    if job.kind.inner:
        columns["point"] = staging.hex_wkb(np.asarray(shapely.points(where.lon, where.lat), dtype=object))
    if job.kind.stamped:
        stamps = staging.stamps(where.lon, where.lat)
        columns |= stamps
        job.cells.update(*(np.unique(cells).tolist() for cells in stamps.values()))
    return columns


def _refuse_late(conn: Connection, job: Job) -> None:
    """Refuse what only shows when all rows are together; their originals are read again."""
    refusals = [refusal for check in LATE[job.kind.name] for refusal in check(conn)]
    if not refusals:
        return
    for chunk in job.source.chunks():
        there = set(chunk.rows.tolist())
        job.refused.add([refusal for refusal in refusals if refusal.row in there], chunk)


_SWAPPED = 0.2
"""Share of rows that cannot be year, month, day, from which the others are not believed either: of days in a
year, three in five are over 12."""


def _judge_days(job: Job) -> None:
    """Refuse a whole file whose days stand before their months: those up to 12 would be exchanged."""
    fields = {field for field, reason in job.refused.reasons if DAY_BEFORE_MONTH in reason}
    for field in fields:
        reasons = job.refused.reasons.items()
        rows = sum(n for (of, reason), n in reasons if of == field and DAY_BEFORE_MONTH in reason)
        if rows >= _SWAPPED * job.rows:
            told = f"{rows} of {job.rows} rows are no year-month-day, so that no other is believed"
            raise BadInput(field, f"{told}: {DAY_BEFORE_MONTH} (refused rows: {job.refused.path})")


def _judge(job: Job) -> None:
    """Refuse or doubt a whole file whose recorded grids speak for another datum; note rows without owner."""
    _judge_days(job)
    if likely := job.evidence.verdict():
        told = f"most rows with a recorded grid fit it only when read as {likely}"
        if job.datum is None:
            raise BadInput("datum", f"{told}; use --datum {likely} (refused rows: {job.refused.path})")
        job.notes.append(f"{told}, but the import says {job.datum}: check it before you commit")
    if job.parts:
        job.notes.append(
            f"rows of several separate lines are cut into them: {job.parts} rows more, numbered by part"
        )
    if job.ground.box is None and job.kind.shape:
        job.notes.append("no grids are loaded yet, so places were not checked against the city")
    elif job.unowned:
        job.notes.append(f"{job.unowned} accepted rows lie in no grid of the default scheme")


def _merge(conn: Connection, job: Job) -> Outcome:
    batch = new_batch(conn, job)
    merged = staging.merge(conn, job.kind.table, batch)
    if job.kind.name == "staff":
        ends = "valid_to" in job.mapping.constants or bool(job.mapping.found("valid_to", job.source.columns))
        moved = posting.merge(conn, batch, ends=ends)
        merged = merged.with_updated(moved)
    if job.kind.name == "roads" and (gone := centrelines.take_out_parts(conn)):
        job.notes.append(f"{gone} lines are taken out that their rows no longer have")
    if job.kind.name == "roads" and (note := centrelines.nodes_apart(conn)):
        job.notes.append(note)
    staging.add_cells(conn, np.fromiter(job.cells, np.uint64, len(job.cells)))
    conn.execute(batches.update().where(batches.c.id == batch).values(unchanged=merged.unchanged))
    return outcome(job, merged)
