"""`safetymap city` and `safetymap levels`: whose data these are, and the ranks of its grids."""

from typing import Annotated, Any

import sqlalchemy as sa
import typer
from pydantic import ValidationError
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.engine import Connection

from api.console import app, out, plain_errors
from gis import city as cities
from gis import db, demo_keys
from gis.db import Record
from gis.errors import BadInput, NotFound
from gis.importing import mapping
from gis.importing.scheming import declare
from gis.migrate import migrate
from gis.schema import city, grids, incidents, levels, schemes

city_app = typer.Typer(no_args_is_help=True, help="The city of this database.")
app.add_typer(city_app, name="city")
levels_app = typer.Typer(no_args_is_help=True, help="The schemes of grids and the levels of each.")
app.add_typer(levels_app, name="levels")


def _print(line: str) -> None:
    out.print(line, highlight=False, soft_wrap=True)


def _declared(values: dict[str, Any]) -> cities.Declared:
    """Return a city as declared. Raises BadInput naming the option at fault, or all that are missing."""
    try:
        return cities.Declared.model_validate(values)
    except ValidationError as error:
        absent = dict.fromkeys(str(e["loc"][0]) for e in error.errors() if e["type"] == "missing")
        if absent:
            named = dict.fromkeys("name" if name.startswith("name_") else name for name in absent)
            raise BadInput("city", f"say {', '.join(f'--{name}' for name in named)} too") from error
        first = error.errors()[0]
        raise BadInput(str(first["loc"][0]), first["msg"].removeprefix("Value error, ")) from error


def _stored(row: Record | None) -> dict[str, Any]:
    if row is None:
        return {}
    names = ("code", "name_zh", "name_en", "languages", "attribution", "within")
    return {name: getattr(row, name) for name in names} | {"zone": row.timezone}


@city_app.command("set")
@plain_errors
def set_(
    code: Annotated[str | None, typer.Option(help="Short code, such as 430200 or dc.")] = None,
    name: Annotated[str | None, typer.Option(help="Name, in both languages.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone, such as America/New_York.")] = None,
    name_zh: Annotated[str | None, typer.Option(help="Name on the Chinese page.")] = None,
    name_en: Annotated[str | None, typer.Option(help="Name on the English page.")] = None,
    languages: Annotated[str | None, typer.Option(help="Of the page, its first one first: en,zh.")] = None,
    attribution: Annotated[str | None, typer.Option(help="Whose data these are, on the map.")] = None,
    within: Annotated[
        str | None, typer.Option(help="Country, province … in front of its addresses: 中国,湖南省 or MA,USA.")
    ] = None,
) -> None:
    """Make this database that of a city, or change what is given of it. A demo is none any more then."""
    if name:
        name_zh, name_en = name_zh or name, name_en or name
    given = {"code": code, "name_zh": name_zh, "name_en": name_en, "zone": zone, "attribution": attribution}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key, several in (("languages", languages), ("within", within)):
        if several is not None:
            chosen[key] = [one.strip() for one in several.split(",") if one.strip()]
    with db.work_engine().begin() as conn:
        migrate(conn)
        before = conn.execute(sa.select(city)).one_or_none()
        wanted = _declared(_stored(before) | chosen)
        told = _consequences(conn, before, wanted)
        cities.set_city(conn, wanted)
    _print(f"the city is {wanted.name_en} ({wanted.code}), {wanted.zone}")
    for line in told:
        _print(line)


def _consequences(conn: Connection, before: Record | None, wanted: cities.Declared) -> list[str]:
    """Return what setting the city ends or leaves as it is; revokes a demo's keys."""
    told = []
    if demo_keys.end(conn):
        told.append("the demo's data stay, its keys are revoked; safetymap db reset empties the database")
    moments = conn.execute(sa.select(sa.exists().select_from(incidents))).scalar()
    if before and before.timezone != wanted.zone and moments:
        told.append(
            f"times already imported stay the moments they are, now told in {wanted.zone}: "
            "import again what had no zone, then safetymap refresh"
        )
    return told


@city_app.command("show")
@plain_errors
def show() -> None:
    """Print the city, and what the database still lacks before it can answer."""
    with db.work_engine().begin() as conn:
        migrate(conn)
        row, lacking = conn.execute(sa.select(city)).one_or_none(), cities.lacks(conn)
    if row:
        name = _both(row.name_en, row.name_zh)
        _print(f"{name} ({row.code}){', a demo' if row.demo else ''}")
        _print(
            f"zone {row.timezone}, languages {', '.join(row.languages)}, attribution {row.attribution or '-'}"
        )
        _print(f"within {', '.join(row.within) or '-'}")
    for line in lacking:
        _print(f"lacking: {line}")


def _both(english: str, chinese: str) -> str:
    """Return a name in both languages, once where one stands for both."""
    return english if english == chinese else f"{english} · {chinese}"


def _level(text: str) -> dict[str, str]:
    """Return a level from `2=District` or, with the Chinese name behind a slash, `2=District/分局`."""
    rank, sign, names = text.partition("=")
    english, _, chinese = names.partition("/")
    if not (sign and rank.strip().isdecimal() and names.strip("/ ")):
        raise BadInput("level", f"{text!r}: write RANK=NAME, such as 2=District or 2=District/分局")
    told = {"level": rank.strip(), "name_en": english.strip(), "name_zh": chinese.strip()}
    return {name: value for name, value in told.items() if value}


@levels_app.command("set")
@plain_errors
def levels_set(
    scheme: Annotated[str, typer.Argument(help="Short name of the scheme, such as police.")],
    level: Annotated[
        list[str] | None, typer.Option(help="RANK=NAME or RANK=NAME/中文名, 1 the highest; repeat.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The scheme's title, in both languages.")] = None,
    title_zh: Annotated[str | None, typer.Option(help="Title on the Chinese page.")] = None,
    title_en: Annotated[str | None, typer.Option(help="Title on the English page.")] = None,
    *,
    default: Annotated[bool, typer.Option("--default", help="It answers where none is named.")] = False,
) -> None:
    """Declare a scheme of grids with its levels, or change what is given of it."""
    ranks = [_level(one) for one in level or []]
    titles = {"title": title, "title_zh": title_zh, "title_en": title_en}
    with db.work_engine().begin() as conn:
        migrate(conn)
        there = conn.execute(sa.select(schemes).where(schemes.c.name == scheme)).one_or_none()
        if there is None:
            declare(conn, [_scheme(scheme, titles, ranks)])
        else:
            _change(conn, scheme, titles, ranks)
        if default:
            conn.execute(schemes.update().where(schemes.c.is_default).values(is_default=False))
            conn.execute(schemes.update().where(schemes.c.name == scheme).values(is_default=True))
    levels_show()


def _scheme(name: str, titles: dict[str, str | None], ranks: list[dict[str, str]]) -> mapping.Scheme:
    told = {key: value for key, value in titles.items() if value}
    if not ranks:
        raise NotFound(f"there is no scheme {name}; say its levels to make it: --level 1=City --level 2=Ward")
    try:
        return mapping.Scheme.model_validate({"name": name, "title": name, "levels": ranks} | told)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(".".join(map(str, first["loc"])), first["msg"]) from error


def _change(conn: Connection, name: str, titles: dict[str, str | None], ranks: list[dict[str, str]]) -> None:
    told = {key: value for key, value in titles.items() if value}
    if told:
        both = told.pop("title", None)
        values = ({"title_zh": both, "title_en": both} if both else {}) | told
        conn.execute(schemes.update().where(schemes.c.name == name).values(values))
    if not ranks:
        return
    for one in _scheme(name, titles, ranks).levels:
        row = {"scheme": name, **one.model_dump()}
        stated = upsert(levels).values(row)
        conn.execute(stated.on_conflict_do_update(index_elements=["scheme", "level"], set_=row))


@levels_app.command("show")
@plain_errors
def levels_show() -> None:
    """Print every scheme with its levels and how many grids each has now."""
    counted = sa.select(sa.func.count(grids.c.code.distinct())).where(
        grids.c.scheme == levels.c.scheme, grids.c.level == levels.c.level, sa.func.upper_inf(grids.c.known)
    )
    with db.work_engine().begin() as conn:
        migrate(conn)
        named = conn.execute(sa.select(schemes).order_by(schemes.c.name)).all()
        rows = conn.execute(
            sa.select(levels, counted.scalar_subquery().label("grids")).order_by(
                levels.c.scheme, levels.c.level
            )
        ).all()
    if not named:
        _print("no scheme is declared: safetymap levels set SCHEME --level 1=City --level 2=Ward")
    for one in named:
        title = _both(one.title_en, one.title_zh)
        _print(f"{one.name}{' (default)' if one.is_default else ''}: {title}")
        for row in (row for row in rows if row.scheme == one.name):
            _print(f"  {row.level}  {_both(row.name_en, row.name_zh)}  {row.grids} grids")
