"""Schemes of grids and their levels, as a mapping, a file or a command declares them."""

from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing.drafting import Draft, draft
from gis.importing.job import Job
from gis.importing.mapping import Level, Mapping, Scheme, ready
from gis.importing.parsing import as_text
from gis.importing.source import Chunk, one_array
from gis.schema import levels, schemes

DECLARE = "declare it in the mapping's [[grids.schemes]], or by safetymap levels set"


class Known(NamedTuple):
    """The schemes of the store: their levels, the names of these, and the scheme of rows that name none."""

    levels: dict[str, set[int]]
    names: dict[tuple[str | None, str], int]
    usual: str | None


def declared(conn: Connection, job: Job) -> Known:
    """Make the schemes that a job's mapping and rows declare, and return all.

    Raises BadInput where there is none.
    """
    wanted = _wanted(conn, job.mapping)
    declare(conn, [*wanted, *_described(job)])
    job.notes += _ignored(conn, job.mapping, wanted)
    known = levels_of(conn)
    if not known:
        raise BadInput("scheme", f"none is declared: {DECLARE}")
    return Known(known, _names(conn), _usual(conn, wanted))


def with_levels_read(chunk: Chunk, mapping: Mapping, known: Known) -> Chunk:
    """Return a chunk in which levels that are written by the names of their row's scheme are numbers."""
    column = mapping.found("level", chunk.table.column_names)
    if column is None or "level" in mapping.constants:
        return chunk
    if column == mapping.found("scheme", chunk.table.column_names):
        return chunk  # the mapping's own words say both
    written = as_text(one_array(chunk.table[column])).to_pylist()
    numbers = [
        known.names.get((scheme or known.usual, (level or "").strip()))
        for scheme, level in zip(_schemes(chunk, mapping), written, strict=True)
    ]
    if not any(number is not None for number in numbers):
        return chunk
    read = [level if number is None else str(number) for level, number in zip(written, numbers, strict=True)]
    at = chunk.table.column_names.index(column)
    return replace(chunk, table=chunk.table.set_column(at, column, pa.array(read, pa.string())))


def _schemes(chunk: Chunk, mapping: Mapping) -> list[str | None]:
    column = mapping.found("scheme", chunk.table.column_names)
    if "scheme" in mapping.constants or column is None:
        return [str(mapping.constants.get("scheme", "")) or None] * len(chunk)
    texts = as_text(one_array(chunk.table[column])).to_pylist()
    words = mapping.values.get("scheme", {})
    return [str(words.get(text, text)).strip() if text else None for text in texts]


def _names(conn: Connection) -> dict[tuple[str | None, str], int]:
    v = levels.c
    rows = conn.execute(sa.select(v.scheme, v.level, v.name_zh, v.name_en)).all()
    return {(row.scheme, name): row.level for row in rows for name in (row.name_en, row.name_zh) if name}


def _wanted(conn: Connection, mapping: Mapping) -> list[Scheme]:
    """Return the schemes that a mapping declares.

    A ready one that leaves its rows' scheme open, with one for rows that name none, does so only for a store
    that has no other default; one with several says each row's.
    """
    default = conn.execute(sa.select(schemes.c.name).where(schemes.c.is_default)).scalar()
    is_open = mapping.name in ready() and "scheme" not in mapping.constants and len(mapping.schemes) == 1
    has_other = default not in {None, *(one.name for one in mapping.schemes)}
    return [] if is_open and has_other else mapping.schemes


def _ignored(conn: Connection, mapping: Mapping, wanted: list[Scheme]) -> list[str]:
    """Return what is said of a mapping of the operator's own whose default is not the store's."""
    default = conn.execute(sa.select(schemes.c.name).where(schemes.c.is_default)).scalar()
    names = [] if mapping.name in ready() else [one.name for one in wanted if one.default]
    return [
        f"default = true of scheme {name} changes nothing: the default is {default} "
        f"(safetymap levels set {name} --default makes it the default)"
        for name in names
        if name != default
    ]


def _usual(conn: Connection, declared: list[Scheme]) -> str | None:
    """Return the scheme of rows that name none: the only one that the mapping declares, else the default."""
    if len(declared) == 1:
        return declared[0].name
    return conn.execute(sa.select(schemes.c.name).where(schemes.c.is_default)).scalar()


def _described(job: Job) -> list[Scheme]:
    """Return the schemes that the rows themselves describe, as our exports do; the first is the default."""
    found: dict[tuple[str, str, str], dict[int, Level]] = {}
    for chunk in job.source.chunks():
        made = draft(chunk, job.kind, job.mapping, job.rules)
        for scheme, zh, en, level, level_zh, level_en in _distinct(made):
            if scheme and level is not None and (zh or en) and (level_zh or level_en):
                of = found.setdefault((scheme, zh or en, en or zh), {})
                of[level] = Level(level=level, name_zh=level_zh or level_en, name_en=level_en or level_zh)
    return [
        Scheme(name=name, title_zh=zh, title_en=en, default=at == 0, levels=[*of.values()])
        for at, ((name, zh, en), of) in enumerate(found.items())
    ]


_DESCRIBING = ("scheme", "scheme_zh", "scheme_en", "level", "level_zh", "level_en")


def _distinct(made: Draft) -> list[tuple[Any, ...]]:
    """Return how the rows of a draft describe schemes and levels, each way once, in their order."""
    return list(dict.fromkeys(zip(*(made.text(name).to_pylist() for name in _DESCRIBING), strict=True)))


def declare(conn: Connection, declared: list[Scheme]) -> None:
    """Make the schemes that a mapping declares and the store lacks.

    The first default stays the default; where none is called so, the first scheme is it.
    """
    for one in sorted(declared, key=lambda scheme: not scheme.default):
        values = {"name": one.name, "title_zh": one.title_zh, "title_en": one.title_en}
        default = ~sa.exists().where(schemes.c.is_default)
        conn.execute(upsert(schemes).values(**values, is_default=default).on_conflict_do_nothing())
        for level in one.levels:
            row = {"scheme": one.name, **level.model_dump()}
            conn.execute(upsert(levels).values(**row).on_conflict_do_nothing())


def levels_of(conn: Connection) -> dict[str, set[int]]:
    """Return every scheme with its levels."""
    known: dict[str, set[int]] = {}
    for scheme, level in conn.execute(sa.select(levels.c.scheme, levels.c.level)):
        known.setdefault(scheme, set()).add(level)
    return known
