"""Schemes of grids and their levels, as a mapping, a file or a command declares them."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing.drafting import Draft, draft
from gis.importing.job import Job
from gis.importing.mapping import Level, Mapping, Scheme, ready
from gis.schema import levels, schemes

DECLARE = "declare it in the mapping's [[grids.schemes]], or by safetymap levels set"


def declared(conn: Connection, job: Job) -> tuple[dict[str, set[int]], str | None]:
    """Make the schemes that a job's mapping and rows declare; return all with their levels and the usual one.

    The usual one is that of rows which name none. The mapping reads its levels' own names from now on.
    Raises BadInput where there is no scheme.
    """
    wanted = _wanted(conn, job.mapping)
    declare(conn, [*wanted, *_described(job)])
    known = levels_of(conn)
    if not known:
        raise BadInput("scheme", f"none is declared: {DECLARE}")
    usual = _usual(conn, wanted)
    job.mapping = _with_own_levels(conn, job.mapping, usual)
    return known, usual


def _wanted(conn: Connection, mapping: Mapping) -> list[Scheme]:
    """Return the schemes that a mapping declares; a ready one only for a store that has no other."""
    default = conn.execute(sa.select(schemes.c.name).where(schemes.c.is_default)).scalar()
    names = {one.name for one in mapping.schemes}
    return [] if mapping.name in ready() and default not in {None, *names} else mapping.schemes


def _with_own_levels(conn: Connection, mapping: Mapping, scheme: str | None) -> Mapping:
    """Return a mapping that reads levels by the names that the scheme itself gives them, too."""
    v = levels.c
    rows = conn.execute(sa.select(v.level, v.name_zh, v.name_en).where(v.scheme == scheme)).all()
    own = {name: row.level for row in rows for name in (row.name_zh, row.name_en) if name}
    read = {**mapping.values, "level": {**mapping.values.get("level", {}), **own}}
    return mapping.model_copy(update={"values": read})


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
