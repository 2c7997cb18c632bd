"""A city of one's own: what is lacking is named, either language suffices, and a demo eats no work."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.engine import Connection, Engine
from typer.testing import CliRunner

from api.cli import app
from gis import city, db, demo_keys, grids, loading, schema
from gis.errors import BadInput, NotFound
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.schema_access import access_keys
from gis.schema_plans import plans
from layers.refresh import STEPS
from tests import town
from tests.test_import import frame

OURS = city.Declared.model_validate({"code": "dc", "name": "Washington", "zone": "America/New_York"})
TINY = loading.City("430200", "株洲", "Zhuzhou", "Asia/Shanghai", "small", synthetic=True, attribution="-")


def bring(conn: Connection, data: pd.DataFrame, kind: str, tmp_path: Path, **told: Any) -> Outcome:
    chosen = mapping.plain(kind, "test").model_copy(update=told)
    return run(
        conn, kind, from_frame(data, "frame"), Options(mapping=chosen, refused=tmp_path / "refused.csv")
    )


# What is lacking.


def test_grids_alone_are_answered_on_a_day_and_otherwise_told(conn: Connection) -> None:
    town.add_grids(conn)
    lon, lat = town.at(0.5, 0.5)
    assert grids.chain(conn, lon, lat, grids.Wish(on=town.FOUNDED)).links
    with pytest.raises(NotFound, match="safetymap city set"):
        grids.chain(conn, lon, lat, grids.Wish())


def test_a_scheme_declared_but_empty_has_no_grids(conn: Connection) -> None:
    city.set_city(conn, OURS)
    conn.execute(schema.schemes.insert().values(name="s", title_zh="s", title_en="s", is_default=True))
    with pytest.raises(NotFound, match="no grids"):
        grids.resolve(conn, grids.Wish())
    with pytest.raises(NotFound, match="no grids"):
        city.extent(conn, "s")


def test_what_is_derived_from_an_empty_store_is_nothing_and_says_so(conn: Connection) -> None:
    told = [step(conn) for step in STEPS]
    assert sum("safetymap city set" in line for line in told) == 4


@pytest.mark.parametrize("kind", ["incidents"])
def test_times_are_not_imported_without_a_zone(conn: Connection, tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadInput, match="safetymap city set") as caught:
        bring(conn, frame(3), kind, tmp_path)
    assert caught.value.field == "zone"
    conn.execute(
        schema.categories.insert(),
        [{"code": c, "name_zh": c, "name_en": c} for c in ("0101", "0102", "02")],
    )
    assert bring(conn, frame(3), kind, tmp_path, zone="America/Denver").inserted == 3


# The city's row.


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"zone": "New York"}, "America/New_York"),
        ({"zone": "EST5"}, "is no time zone"),
        ({"zone": "../../etc/passwd"}, "is no time zone"),
        ({"code": "a b"}, "is no code"),
        ({"code": ""}, "is no code"),
        ({"languages": []}, "choose among"),
        ({"languages": ["de"]}, "zh"),
        ({"name": None}, "name_"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_city_that_cannot_be_is_refused(told: dict[str, Any], what: str) -> None:
    given = {"code": "dc", "name": "Washington", "zone": "America/New_York"} | told
    with pytest.raises(ValidationError, match=what):
        city.Declared.model_validate({key: value for key, value in given.items() if value is not None})


def test_a_mapping_sets_the_city_once_and_never_another(conn: Connection, tmp_path: Path) -> None:
    path = tmp_path / "dc.toml"
    path.write_text(
        '[city]\ncode = "dc"\nname_en = "Washington"\nzone = "America/New_York"\nlanguages = ["en"]\n'
        '[categories]\norigin = "dc"\ncolumns = { code = "c", name_en = "n" }\n'
    )
    chosen = mapping.load(str(path), "categories")
    source = from_frame(pd.DataFrame({"c": ["theft"], "n": ["Theft"]}), "frame")
    options = Options(mapping=chosen, refused=tmp_path / "refused.csv")
    run(conn, "categories", source, options)
    row = city.the_city(conn)
    assert (row.code, row.name_zh, row.timezone, row.languages) == (
        "dc", "Washington", "America/New_York", ["en"],
    )  # fmt: skip
    run(conn, "categories", source, options)
    city.set_city(conn, OURS.model_copy(update={"code": "elsewhere"}))
    with pytest.raises(BadInput, match="elsewhere"):
        run(conn, "categories", source, options)


# Either language.


@pytest.mark.parametrize("language", ["zh", "en"])
def test_one_language_suffices_for_titles_levels_and_cities(language: str) -> None:
    scheme = mapping.Scheme.model_validate(
        {"name": "s", f"title_{language}": "T", "levels": [{"level": 1, f"name_{language}": "L"}]}
    )
    assert (scheme.title_zh, scheme.title_en) == ("T", "T")
    assert (scheme.levels[0].name_zh, scheme.levels[0].name_en) == ("L", "L")
    named = city.Declared.model_validate({"code": "c", f"name_{language}": "N", "zone": "UTC"})
    assert (named.name_zh, named.name_en) == ("N", "N")
    both = mapping.Level.model_validate({"level": 1, "name": "L", f"name_{language}": "M"})
    assert {both.name_zh, both.name_en} == {"L", "M"}


@pytest.mark.parametrize("gone", ["name_zh", "name_en", "name_zh and name_en"])
def test_one_language_suffices_for_categories(conn: Connection, tmp_path: Path, gone: str) -> None:
    data = pd.DataFrame({"code": ["a"], "name_zh": ["甲"], "name_en": ["A"]}).drop(
        columns=gone.split(" and ")
    )
    outcome = bring(conn, data.assign(parent=None), "categories", tmp_path)
    if gone == "name_zh and name_en":
        assert outcome.reasons == {("name_zh", "is missing, and so is name_en; fill in one of them"): 1}
        return
    row = conn.execute(sa.select(schema.categories)).one()
    assert row.name_zh == row.name_en == data.iloc[0, 1]


def test_unknown_categories_are_counted_by_value(conn: Connection, tmp_path: Path) -> None:
    town.add_grids(conn)
    town.add_city(conn)
    data = frame(10).assign(category=["0101"] * 4 + ["THEFT"] * 4 + ["ARSON"] * 2)
    outcome = bring(conn, data, "incidents", tmp_path)
    (told,) = [counted for (name, _), counted in vars(outcome)["values"].items() if name == "category"]
    assert (outcome.inserted, dict(told)) == (4, {"THEFT": 4, "ARSON": 2})


# A demo eats no work.


@pytest.fixture
def demo_city(conn: Connection) -> Connection:
    """A demo without rows, with the town's grids so that it has keys."""
    loading.load(conn, TINY, iter([]), telling=lambda *_: lambda _: None)
    town.add_grids(conn)
    return conn


def _imported(conn: Connection, tmp_path: Path) -> None:
    bring(conn, pd.DataFrame({"code": ["a"], "parent": None, "name_en": ["A"]}), "categories", tmp_path)


def _planned(conn: Connection, _: Path) -> None:
    conn.execute(
        plans.insert().values(
            scheme="safety",
            scope="T",
            title="t",
            based_on=1,
            effective_on=town.FOUNDED,
            author="a",
            author_is="a",
        )
    )


def _reported(conn: Connection, _: Path) -> None:
    conn.execute(schema.categories.insert().values(code="x", name_zh="x", name_en="x"))
    town.add_incidents(conn, None, [town.at(1, 1)], category="x")


def _dispatched(conn: Connection, _: Path) -> None:
    conn.execute(schema.categories.insert().values(code="x", name_zh="x", name_en="x"))
    batch = schema.batches.insert().values(
        kind="town", origin="town", file="town.py", sha256="", mapping="", datum="wgs84", rows=0, accepted=0,
        refused=0, unchanged=0, demo=True,
    )  # fmt: skip
    town.add_incidents(
        conn, conn.execute(batch.returning(schema.batches.c.id)).scalar_one(), [town.at(1, 1)], "x"
    )
    of = conn.execute(sa.select(schema.incidents.c.id)).scalar_one()
    conn.execute(schema.transitions.insert().values(incident_id=of, to_state="dispatched"))


def _set(conn: Connection, _: Path) -> None:
    city.set_city(conn, OURS)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (_imported, "1 imports"),
        (_reported, "1 incidents reported here"),
        (_dispatched, "1 steps of incidents"),
        (_planned, "1 plans"),
        (_set, r"the city Washington \(dc\)"),
    ],
)
def test_a_demo_asks_before_it_deletes_work(
    demo_city: Connection, tmp_path: Path, work: Callable[[Connection, Path], None], told: str
) -> None:
    assert loading.at_stake(demo_city) == []
    work(demo_city, tmp_path)
    with pytest.raises(BadInput, match=f"{told}.*--replace"):
        loading.make_room(demo_city, overwrite=False)
    loading.make_room(demo_city, overwrite=True)
    assert loading.at_stake(demo_city) == []


def test_another_demo_replaces_a_demo(demo_city: Connection) -> None:
    assert loading.is_loaded(demo_city, TINY)
    loading.load(demo_city, loading.CHICAGO, iter([]), telling=lambda *_: lambda _: None)
    assert loading.is_loaded(demo_city, loading.CHICAGO)
    assert not loading.is_loaded(demo_city, TINY)


@pytest.mark.parametrize("work", [_imported, _set])
def test_an_import_or_a_city_ends_the_demo_and_its_keys(
    demo_city: Connection, tmp_path: Path, work: Callable[[Connection, Path], None]
) -> None:
    demo_keys.ensure(demo_city, tmp_path)
    assert loading.is_demo(demo_city)
    assert demo_keys.present(demo_city)
    work(demo_city, tmp_path)
    if work is _imported:
        live = sa.select(access_keys.c.id).where(access_keys.c.demo, access_keys.c.revoked_at.is_(None))
        assert not demo_city.execute(live).first()
    assert not loading.is_demo(demo_city)
    assert not loading.is_loaded(demo_city, TINY)


def test_the_real_city_of_a_demo_s_code_is_no_demo(conn: Connection) -> None:
    city.set_city(conn, OURS.model_copy(update={"code": "430200"}))
    assert not loading.is_demo(conn)
    assert not any(loading.is_loaded(conn, loading.zhuzhou_city(size)) for size in ("small", "city", "full"))
    with pytest.raises(BadInput, match="430200"):
        loading.load(conn, TINY, iter([]), telling=lambda *_: lambda _: None)


# The commands.


@pytest.fixture(scope="module")
def bare(server: sa.URL, administer: Callable[..., None], template: str) -> Iterator[Engine]:
    """An empty migrated database of its own, as the commands take it."""
    name = f"test_bare_{uuid.uuid4().hex[:8]}"
    administer(f"CREATE DATABASE {name} TEMPLATE {template}")
    made = db.make_engine(server.set(database=name).render_as_string(hide_password=False))
    yield made
    made.dispose()
    administer(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_commands_set_and_show_a_city(bare: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "work_engine", lambda: bare)

    def say(*words: str, status: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result.output

    assert "city is not set" in say("city", "show")
    assert "--zone" in say("city", "set", "--code", "dc", "--name", "Washington", status=1)
    assert "America/New_York" in say(
        "city", "set", "--code", "dc", "--name", "W", "--zone", "New York", status=1
    )
    say("city", "set", "--code", "dc", "--name", "Washington", "--zone", "America/New_York")
    assert say("city", "show").startswith("Washington (dc)")
    assert "Washington · 华盛顿 (dc)" in say("city", "set", "--name-zh", "华盛顿") + say("city", "show")
    assert "no grids" in say("city", "show")
    assert "no scheme" in say("levels", "show")
    assert "say its levels" in say("levels", "set", "police", status=1)
    assert "RANK=NAME" in say("levels", "set", "police", "--level", "District", status=1)
    told = say(
        "levels", "set", "police", "--level", "1=District/分局", "--level", "2=PSA", "--title", "Police"
    )
    assert "police (default): Police\n" in told
    assert "2  PSA  0 grids" in told
    assert "1  District · 分局  0 grids" in told
    told = say("levels", "set", "fire", "--level", "1=Battalion", "--default")
    assert "fire (default)" in told
    assert "police (default)" not in told
    assert "Cops" in say("levels", "set", "police", "--title-en", "Cops")
