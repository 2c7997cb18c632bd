"""Importing grids: snapped, checked as a coverage, brought into valid days and known revisions."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import coverage, faults
from gis.case import Fault, Surroundings
from gis.crs import WGS84
from gis.errors import BadInput
from gis.importing import grid_faults, placing, scheming, staging, trees
from gis.importing.dissolving import with_levels
from gis.importing.drafting import Draft, draft
from gis.importing.grid_faults import Lost
from gis.importing.job import Job, Options, Outcome, new_batch, outcome, prepare
from gis.importing.kinds import KINDS, Field, Kind
from gis.importing.mapping import Mapping, pick
from gis.importing.parsing import identifier, mask
from gis.importing.placing import Placed
from gis.importing.revising import Change, lay, notes, publish
from gis.importing.source import Chunk, Source
from gis.importing.staging import Merged
from gis.importing.timeline import Version
from gis.schema import batches, city
from gis.settings import settings

_SHOWN = 5
_EXACT = 1e-3
"""Of a unit: what a double nearest to a decimal of seven places may differ from it."""


def run(conn: Connection, source: Source, options: Options) -> Outcome:
    """Import a set of grids and return what happened; commits nothing.

    Each scheme that changes gets one revision; grids that the file does not name stay as they are. Raises
    BadInput when the set has errors as a coverage that nobody accepted; a GeoJSON file then has all faults.
    """
    job = prepare(conn, KINDS["grids"], source, options)
    staging.lock(conn, "grids")
    lost: list[Lost] = []
    try:
        by = _columns(job, options.dissolve)
        frame = _frame(conn, job, by, lost)
    finally:
        job.refused.close()
    if options.dissolve:
        _refuse_lacking(job, lost, accepted=options.accept_faults)
        frame = _dissolved(conn, frame, tuple(by))
    _refuse_broken(job, _laid(conn, frame, end=options.end, settled=False))
    changes, found, snapped = _settled(conn, frame, end=options.end)
    undated = {code: why for change in changes for code, why in trees.without_parent(change.after).items()}
    found = grid_faults.dated(grid_faults.explained(found, lost), undated)
    _report_faults(job, found, [en for _, en in undated.values()], accepted=options.accept_faults)
    if snapped.get("repaired") or snapped.get("rings_dropped"):
        told = f"{snapped['repaired']} shapes mended, {snapped['rings_dropped']} rings without ground dropped"
        job.notes.append(f"rounding to 1e-7 degree: {told}")
    job.notes += [note for change in changes for note in notes(conn, change)]
    batch = new_batch(conn, job, {"faults": grid_faults.listed(found), "snapped": snapped})
    for change in changes:
        publish(conn, change, batch, source.name)
    merged = Merged(
        inserted=sum(change.inserted for change in changes),
        updated=sum(change.updated for change in changes),
        unchanged=sum(change.unchanged for change in changes),
        kept=0,
    )
    conn.execute(batches.update().where(batches.c.id == batch).values(unchanged=merged.unchanged))
    options.progress(job.rows)
    return outcome(job, merged)


def _laid(conn: Connection, frame: pd.DataFrame, *, end: bool, settled: bool = True) -> list[Change]:
    return [lay(conn, str(name), rows, end=end, settled=settled) for name, rows in frame.groupby("scheme")]


def _refuse_lacking(job: Job, lost: list[Lost], *, accepted: bool) -> None:
    """Raise BadInput where rows were refused: the levels made of the others would lack their ground."""
    if job.refused.count and not accepted:
        first = [f"row {one.row} ({one.code}): {one.why}" for one in lost[:_SHOWN]]
        told = (
            f"{job.refused.count} rows are refused ({job.refused.path}), which every level above would lack: "
            + "; ".join([*first, *(["…"] if len(lost) > _SHOWN else [])])
        )
        raise BadInput("--dissolve", f"{told}; correct them, or say --accept-faults")


def _dissolved(conn: Connection, frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with the levels above them, made by dissolving; the whole has the city's code."""
    if len(frame["scheme"].unique()) != 1:
        raise BadInput("--dissolve", "the file must hold rows of one scheme")
    scheme = str(frame["scheme"].iloc[0])
    top = conn.execute(sa.select(city.c.code)).scalar() or scheme
    return with_levels(frame, columns, sorted(scheming.levels_of(conn)[scheme]), str(top))


def _frame(conn: Connection, job: Job, extra: dict[str, str], lost: list[Lost]) -> pd.DataFrame:
    """Return the good rows of all chunks, with `geometry` and `extra` columns; refused ones go to `lost`.

    A scheme's highest level has no parents.
    """
    known = scheming.declared(conn, job)
    frames = [_chunk_frame(job, chunk, known, extra, lost) for chunk in job.source.chunks()]
    if not frames:
        raise BadInput("file", f"{job.source.name} has no rows below its header")
    frame = pd.concat(frames, ignore_index=True)
    _clear_parents(job, frame, known.levels)
    return frame


def _clear_parents(job: Job, frame: pd.DataFrame, known: dict[str, set[int]]) -> None:
    """Clear the parents of a scheme's highest level, which has none, where they name none of its grids."""
    there = set(zip(frame["scheme"], frame["code"], strict=True))
    top = frame["scheme"].map({scheme: min(of) for scheme, of in known.items()})
    named = [pair in there for pair in zip(frame["scheme"], frame["parent_code"], strict=True)]
    strange = (frame["level"] == top) & frame["parent_code"].notna() & ~np.array(named, bool)
    if strange.any():
        told = ", ".join(sorted(set(frame.loc[strange, "parent_code"]))[:_SHOWN])
        count = int(strange.sum())
        job.notes.append(f"{count} grids of the highest level name parents above it, left out: {told}")
    frame.loc[strange, "parent_code"] = None


def _chunk_frame(
    job: Job, chunk: Chunk, known: scheming.Known, extra: dict[str, str], lost: list[Lost]
) -> pd.DataFrame:
    job.rows += len(chunk) + len(chunk.broken)
    job.refused.add_broken(chunk)
    read = scheming.with_levels_read(chunk, job.mapping, known)
    made = draft(read, *_with_columns(job, extra), job.rules)
    scheme = made.text("scheme")
    made.columns["scheme"] = pc.fill_null(scheme, known.usual) if known.usual else scheme
    where = placing.place(made, job.kind, job.mapping, job.source, job.ways)
    placing.check_range(made, where, job.ground)
    where = _on_precision(job, made, placing.shifted(where, job.said, made.sieve.ok))
    _check_rows(made, known.levels)
    for name, column in extra.items():
        made.sieve.refuse(
            mask(pc.is_null(made.text(name))), column, "is empty; --dissolve needs it in each row"
        )
    job.refused.add(made.sieve.refusals, chunk)
    columns = {field.name: made.text(field.name).to_pylist() for field in job.kind.fields}
    columns |= {name: made.text(name).to_pylist() for name in extra}
    frame = pd.DataFrame(columns, dtype=object).assign(geometry=where.shape)
    lost += _lost(made, chunk)
    return frame[made.sieve.ok]


def _on_precision(job: Job, made: Draft, where: Placed) -> Placed:
    """Refuse grids narrower than the store's precision; tell of parts and holes that are."""
    shapes, lost = where.shape.copy(), np.zeros(len(made), dtype=np.int64)
    rows = np.flatnonzero(made.sieve.ok)
    shapes[rows], lost[rows] = coverage.on_precision(shapes[rows])
    gone = made.sieve.ok & shapely.is_missing(shapes)
    made.sieve.refuse(gone, "geometry", "collapses: it is narrower than 1e-7 degree (1 cm); draw it again")
    codes = made.text("code")
    job.notes += [
        f"row {made.chunk.rows[at]} ({codes[at]}): {lost[at]} parts or holes under 1e-7 degree are left out"
        for at in np.flatnonzero(made.sieve.ok & (lost > 0)).tolist()
    ]
    return Placed(shapes, where.lon, where.lat)


def _columns(job: Job, dissolve: tuple[str, ...]) -> dict[str, str]:
    """Return the columns of codes of levels above by the name that each has here, from the highest down.

    A column of the file goes before a field of ours of the same name; of ours `parent_code` alone will do.
    """
    ours, theirs = {field.name for field in job.kind.fields}, job.source.columns
    found = {name: pick(name, theirs) for name in dissolve}
    for name, column in found.items():
        if column is None and name != "parent_code":
            raise BadInput(
                "--dissolve",
                f"there is no column {name!r}; the file has {', '.join(theirs)}; or say parent_code",
            )
    return {
        f"{name} of the file" if name in ours and column else name: column or name
        for name, column in found.items()
    }


def _with_columns(job: Job, extra: dict[str, str]) -> tuple[Kind, Mapping]:
    """Return the kind and the mapping with columns of the source that hold codes of levels above."""
    known = {field.name for field in job.kind.fields}
    more = {name: column for name, column in extra.items() if name not in known}
    fields = (*job.kind.fields, *(Field(name, identifier) for name in more))
    return replace(job.kind, fields=fields), job.mapping.model_copy(
        update={"columns": job.mapping.columns | more}
    )


def _lost(made: Draft, chunk: Chunk) -> list[Lost]:
    """Return the refused rows of a chunk with the shapes they had, where these are in degrees."""
    at = {int(row): place for place, row in enumerate(chunk.rows)}
    codes, given = made.text("code").to_pylist(), chunk.geometry
    return [
        Lost(one.row, str(codes[at[one.row]]), None if given is None else given[at[one.row]], one.reason)
        for one in made.sieve.refusals
        if one.row in at
    ]


def _check_rows(made: Draft, known: dict[str, set[int]]) -> None:
    scheme, level = made.text("scheme").to_pylist(), made.text("level").to_pylist()
    strange = np.array([one not in known for one in scheme], bool)
    reason = f"is none of the schemes {', '.join(sorted(known))}; {scheming.DECLARE}"
    made.sieve.refuse(strange, "scheme", reason, scheme)
    strange = np.array(
        [rank not in known.get(one, ()) for one, rank in zip(scheme, level, strict=True)], bool
    )
    made.sieve.refuse(strange, "level", f"is no level of its scheme; {scheming.DECLARE}", level)
    if "valid_from" in made.columns and "valid_to" in made.columns:
        backwards = mask(pc.greater_equal(made.columns["valid_from"], made.columns["valid_to"]))
        made.sieve.refuse(
            backwards,
            "valid_to",
            "is not after valid_from; it is the first day no longer in force",
            made.columns["valid_to"],
        )
    made.sieve.refuse(
        _overlapping(made), "code", "occurs in an earlier row for some of the same days", made.text("code")
    )


def _overlapping(made: Draft) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows claim a code and a day that an earlier row has."""
    taken: dict[tuple[str, str], list[Version]] = {}
    bad = np.zeros(len(made), bool)
    names = ("scheme", "code", "valid_from", "valid_to")
    for at, row in enumerate(zip(*(made.text(name).to_pylist() for name in names), strict=True)):
        mine = Version(row[2], row[3], ())
        others = taken.setdefault((row[0], row[1]), [])
        bad[at] = any(other.start < mine.end and mine.start < other.end for other in others)
        others.append(mine)
    return bad


def _settled(
    conn: Connection, frame: pd.DataFrame, *, end: bool
) -> tuple[list[Change], list[Fault], dict[str, Any]]:
    """Return what changes, its faults, and what snapping did: nothing to a set that is exact and sound."""
    given = frame["geometry"].to_numpy()
    xy = shapely.get_coordinates(given) * coverage.UNITS_PER_DEGREE
    if np.abs(xy - np.round(xy)).max(initial=0) < _EXACT:
        frame["geometry"] = coverage.to_degrees(coverage.to_units(given))
        _, found = _examined(conn, frame, end=end, settled=False)
        if not any(fault.severity == "error" for fault in found):
            return _laid(conn, frame, end=end), found, {}
    snapped = _snap(frame)
    return *_examined(conn, frame, end=end), snapped


def _examined(
    conn: Connection, frame: pd.DataFrame, *, end: bool, settled: bool = True
) -> tuple[list[Change], list[Fault]]:
    changes = _laid(conn, frame, end=end, settled=settled)
    return changes, [fault for change in changes if change.new for fault in _faults(change)]


def _snap(frame: pd.DataFrame) -> dict[str, Any]:
    """Put all grids of one scheme and period on the fixed precision, and return what that changed."""
    told: list[coverage.Snapped] = []
    for _, rows in frame.groupby(["scheme", "valid_from", "valid_to"], dropna=False):
        shapes, record = coverage.snap(rows["geometry"].to_numpy())
        if gone := rows["code"][shapely.is_empty(shapes)].tolist():
            raise BadInput(
                "geometry", f"{', '.join(gone)} fold flat against their neighbours; draw them again"
            )
        frame.loc[rows.index, "geometry"] = shapes
        told.append(record)
    return {
        "max_displacement_m": round(max((one.max_displacement_m for one in told), default=0.0), 4),
        "vertices_added": int(sum(one.vertices_added.sum() for one in told)),
        "repaired": int(sum(one.repaired.sum() for one in told)),
        "rings_dropped": int(sum(one.rings_dropped.sum() for one in told)),
        "area_change_m2": round(
            float(sum(np.abs(o.area_after_m2 - o.area_before_m2).sum() for o in told)), 2
        ),
    }


def _refuse_broken(job: Job, changes: list[Change]) -> None:
    """Raise BadInput for a hierarchy that is no tree, whatever is accepted: questions climb it."""
    found = [fault for change in changes if change.new for fault in trees.broken(change.after)]
    if found:
        path = _write_faults(job, found)
        told = "; ".join(fault.message_en for fault in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise BadInput(
            "parent_code",
            f"{told}{more}, listed in {path}; correct them, --accept-faults does not accept these",
        )


def _faults(change: Change) -> list[Fault]:
    """Return the faults of the scheme on each day on which something new begins, or comes after it."""
    turns = {day for _, version in change.new for day in (version.start, version.end)}
    days = sorted(turns - {date.max})
    around = Surroundings(neck_width_m=settings().neck_width_m)
    return [fault for day in days for fault in faults.check(_on(change, day), around=around)]


def _on(change: Change, day: date) -> gpd.GeoDataFrame:
    live = [
        (code, v.content) for code, of in sorted(change.after.items()) for v in of if v.start <= day < v.end
    ]
    columns = {
        "code": [code for code, _ in live],
        "level": [content[0] for _, content in live],
        "parent_code": [content[1] for _, content in live],
    }
    return gpd.GeoDataFrame(
        columns, geometry=shapely.from_wkb([content[4] for _, content in live]), crs=WGS84
    )


def _report_faults(job: Job, found: list[Fault], undated: list[str], *, accepted: bool) -> None:
    """Write all faults as GeoJSON; raise BadInput when some are errors that nobody accepted."""
    if not found:
        return
    path = _write_faults(job, found)
    errors = [fault for fault in found if fault.severity == "error"]
    told = f"{len(errors)} errors and {len(found) - len(errors)} advices, listed in {path}"
    grouped = grid_faults.grouped(found)
    if errors and not accepted:
        ways = "mend them (safetymap mend FILE), or say --accept-faults"
        if undated:
            ways = f"{len(undated)} hold on days before their parents: {'; '.join(undated[:2])}; else {ways}"
        raise BadInput("grids", f"they are no coverage: {grouped}; {told}; {ways}")
    job.notes.append(f"grids as a coverage: {f'{grouped}; ' * bool(grouped)}{told}")


def _write_faults(job: Job, found: list[Fault]) -> Path:
    path = Path(job.refused.path).with_suffix(".faults.geojson")
    grid_faults.write(found, path)
    return path
