"""One import from its source to the store: draft, place, own, stage, merge, in the caller's transaction."""

import numpy as np
import pyarrow as pa
import shapely
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import staging
from gis.importing.deriving import DERIVE, locate
from gis.importing.drafting import draft
from gis.importing.job import Job, Options, Outcome, new_batch, prepare
from gis.importing.kinds import KINDS
from gis.importing.placing import Placed
from gis.importing.refusals import Refusal
from gis.importing.source import Chunk, Source
from gis.importing.staging import Merged
from gis.schema import batches, metadata


def run(conn: Connection, kind: str, source: Source, options: Options) -> Outcome:
    """Import a source of `kind` and return what happened; commits nothing.

    Raises BadInput when the source as a whole is unusable: no mapping fits, a column is missing, most rows
    speak for another datum.
    """
    job = prepare(conn, KINDS[kind], source, options)
    staging.lock(conn, kind, job.mapping.origin)
    try:
        columns = _stage_all(conn, job, options)
        _refuse_late(conn, job, columns)
    finally:
        job.refused.close()
    _judge(job)
    return _merge(conn, job, columns)


def _stage_all(conn: Connection, job: Job, options: Options) -> list[str]:
    """Bring all good rows to the stage and return its columns."""
    names: list[str] = []
    for chunk in job.source.chunks():
        job.rows += len(chunk) + len(chunk.broken)
        columns = stage_columns(job, chunk)
        if columns and not names:
            names = [name for name in columns if name != "row_no"]
            staging.create(conn, job.kind.table, names)
        if columns:
            staging.copy(conn, columns)
        options.progress(job.rows)
    if not names:
        raise BadInput("file", f"{job.source.name} has no usable row below its header")
    staging.ready(conn)
    return names


def stage_columns(job: Job, chunk: Chunk) -> dict[str, pa.Array]:
    """Return a chunk's good rows as columns of the store; the others go to the refused file."""
    broken = [Refusal(row.row, "row", row.reason, row.text[:200]) for row in chunk.broken]
    job.refused.add(broken, chunk)
    if not len(chunk):
        return {}
    made = draft(chunk, job.kind, job.mapping, job.rules)
    where = locate(job, made) if job.kind.shape else None
    if job.kind.name in DERIVE:
        DERIVE[job.kind.name](job, made, where)
    job.refused.add(made.sieve.refusals, chunk)
    good = made.sieve.ok
    columns = {"row_no": pa.array(chunk.rows), **made.columns}
    kept = {name: values.filter(pa.array(good)) for name, values in columns.items()}
    if where is not None:
        kept |= _geometry_columns(job, Placed(where.shape[good], where.lon[good], where.lat[good]))
    wanted = {"row_no", *metadata.tables[job.kind.table].c.keys()}
    return {name: values for name, values in kept.items() if name in wanted}


def _geometry_columns(job: Job, where: Placed) -> dict[str, pa.Array]:
    columns = {"geom": staging.hex_wkb(where.shape)}
    if job.kind.inner:
        columns["point"] = staging.hex_wkb(shapely.points(where.lon, where.lat))
    if job.kind.stamped:
        stamps = staging.stamps(where.lon, where.lat)
        columns |= stamps
        job.cells.update(*(np.unique(cells).tolist() for cells in stamps.values()))
    return columns


def _refuse_late(conn: Connection, job: Job, columns: list[str]) -> None:
    """Refuse what only shows when all rows are together: ids and codes that occur twice or are taken."""
    refusals = staging.drop_repeated(conn, "origin_id")
    if "code" in columns:
        refusals += staging.drop_repeated(conn, "code")
        refusals += staging.drop_taken_codes(conn, job.mapping.origin)
    if not refusals:
        return
    for chunk in job.source.chunks():
        mine = [refusal for refusal in refusals if refusal.row in set(chunk.rows.tolist())]
        job.refused.add(mine, chunk)


def _judge(job: Job) -> None:
    """Refuse or doubt a whole file whose recorded grids speak for another datum; note rows without owner."""
    if likely := job.evidence.verdict():
        told = f"most rows with a recorded grid fit it only when read as {likely}"
        if job.datum is None:
            raise BadInput("datum", f"{told}; use --datum {likely} (refused rows: {job.refused.path})")
        job.notes.append(f"{told}, but the import says {job.datum}: check it before you commit")
    if job.ground.box is None and job.kind.shape:
        job.notes.append("no grids are loaded yet, so places were not checked against the city")
    elif job.unowned:
        job.notes.append(f"{job.unowned} accepted rows lie in no grid of the default scheme")


def _merge(conn: Connection, job: Job, columns: list[str]) -> Outcome:
    batch = new_batch(conn, job)
    merged = staging.merge(conn, job.kind.table, columns, job.mapping.origin, batch)
    staging.add_cells(conn, np.fromiter(job.cells, np.uint64, len(job.cells)))
    conn.execute(batches.update().where(batches.c.id == batch).values(unchanged=merged.unchanged))
    return outcome(job, merged)


def outcome(job: Job, merged: Merged) -> Outcome:
    """Return what an import did."""
    refused = job.refused
    return Outcome(
        kind=job.kind.name, file=job.source.name, mapping=job.mapping.name, datum=job.said, rows=job.rows,
        refused=refused.count, inserted=merged.inserted, updated=merged.updated, unchanged=merged.unchanged,
        kept=merged.kept, refused_file=refused.path if refused.count else None,
        reasons=dict(refused.reasons), notes=job.notes,
    )  # fmt: skip
