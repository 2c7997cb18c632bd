"""Hierarchies: what is no tree is refused whatever is accepted, and a circle forced into the store ends."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.engine import Connection

from gis import city, grids, schema
from gis.errors import BadInput
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from gis.importing.trees import rootless
from tests import town

SCHEME = mapping.Scheme(
    name="safety", title_en="Safety", title_zh="平安",
    levels=[mapping.Level(level=rank, name_zh=f"{rank}级", name_en=f"level {rank}") for rank in (1, 2, 3)],
)  # fmt: skip
DAY = date(2024, 1, 1)


def rows(**parents: tuple[int, str | None]) -> gpd.GeoDataFrame:
    """A city T of two halves L and R of level 2, and further rows over the half L: code = (level, parent)."""
    told: dict[str, tuple[int, str | None]] = {"T": (1, None), "L": (2, "T"), "R": (2, "T")} | parents
    left, right = shapely.box(*town.at(0, 1), *town.at(1, 0)), shapely.box(*town.at(1, 1), *town.at(2, 0))
    shapes = {"T": shapely.union_all([left, right]), "L": left, "R": right}
    frame = gpd.GeoDataFrame(
        {"code": list(told), "level": [rank for rank, _ in told.values()]},
        geometry=[shapes.get(code, left) for code in told], crs=4326,
    )  # fmt: skip
    return frame.assign(
        scheme="safety", name=frame["code"], parent_code=[parent for _, parent in told.values()],
        valid_from=None, valid_to=None,
    )  # fmt: skip


def bring(conn: Connection, frame: gpd.GeoDataFrame, tmp_path: Path, *, accept: bool = True) -> Outcome:
    options = Options(
        mapping=mapping.plain("grids", "test").model_copy(update={"schemes": [SCHEME]}),
        datum="wgs84", refused=tmp_path / "refused.csv", accept_faults=accept,
    )  # fmt: skip
    return run(conn, "grids", from_frame(frame, "drawn"), options)


@pytest.mark.parametrize(
    ("parents", "told"),
    [
        ({"A": (3, "A")}, r"A \(A\) names itself"),
        ({"T": (1, "T")}, r"T \(T\) names itself"),
        ({"A": (3, "B"), "B": (3, "A")}, "parent of A .* not exactly one level above"),
        ({"A": (2, "B"), "B": (3, "C"), "C": (3, "A")}, "parent of A .* not exactly one level above"),
        ({"T": (1, "L")}, "parent of T .* not exactly one level above"),
        ({"A": (3, "T")}, "parent of A .* not exactly one level above"),
        ({"A": (2, "L")}, "parent of A .* not exactly one level above"),
        ({"L": (2, "A"), "A": (3, "L")}, "parent of L .* not exactly one level above"),
        ({"A": (3, "gone")}, r"parent of A \(gone\) does not exist"),
    ],
    ids=["own", "own-at-the-top", "two", "three", "top-below", "skipped", "same", "below", "unknown"],
)
def test_what_is_no_tree_is_refused_whatever_is_accepted(
    conn: Connection, tmp_path: Path, parents: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        bring(conn, rows(**parents), tmp_path)
    assert caught.value.field == "parent_code"
    assert (tmp_path / "refused.faults.geojson").exists()
    assert not conn.execute(sa.select(schema.grids.c.id)).first()


def test_a_city_alone_or_with_levels_below_is_a_tree(conn: Connection, tmp_path: Path) -> None:
    alone = rows().iloc[:1]
    assert bring(conn, alone, tmp_path, accept=False).inserted == 1
    assert bring(conn, rows(A=(3, "L")), tmp_path, accept=False).inserted == 3
    strange = rows().assign(parent_code=["the province", "T", "T"]).iloc[:1]
    outcome = bring(conn, strange, tmp_path, accept=False)
    assert outcome.unchanged == 1
    assert any("the province" in note for note in outcome.notes)


def test_a_later_file_cannot_make_a_circle_of_what_is_stored(conn: Connection, tmp_path: Path) -> None:
    bring(conn, rows(A=(3, "L")), tmp_path)
    with pytest.raises(BadInput, match="one level above"):
        bring(conn, rows(L=(2, "A")).query("code == 'L'"), tmp_path)


@pytest.mark.parametrize("name", ["valid_from", "valid_to"])
def test_a_parent_that_is_not_always_in_force_is_told_and_may_be_accepted(
    conn: Connection, tmp_path: Path, name: str
) -> None:
    frame = rows()
    frame.loc[frame["code"] == "T", name] = DAY
    with pytest.raises(BadInput, match="--accept-faults"):
        bring(conn, frame, tmp_path, accept=False)
    assert bring(conn, frame, tmp_path).inserted == 3


def _force(conn: Connection, parents: dict[str, tuple[int, str]]) -> None:
    """Write grids past the importer, all over the town's first square."""
    town.add_grids(conn)
    town.add_city(conn)
    shape = town.multi(shapely.box(*town.at(0, 1), *town.at(1, 0)))
    conn.execute(sa.delete(schema.grids))
    for code, (level, parent) in parents.items():
        grid_id = conn.execute(
            schema.grid_codes.insert().values(scheme="safety", code=code).returning(schema.grid_codes.c.id)
        ).scalar_one()
        conn.execute(
            schema.grids.insert().values(
                grid_id=grid_id, scheme="safety", code=code, level=level, parent_code=parent, name=code,
                geom=shape, area_m2=1, valid=Range(None, None), known=Range(1, None),
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("parents", "found"),
    [
        ({"self": (2, "self")}, ["self"]),
        ({"a": (2, "b"), "b": (2, "a")}, ["a"]),
        ({"a": (3, "b"), "b": (2, "c"), "c": (3, "a")}, ["a", "b"]),
        ({"a": (3, "b"), "b": (2, "b")}, ["a", "b"]),
        ({"a": (3, "nobody")}, ["a"]),
        ({"a": (3, "t"), "t": (1, "a")}, ["a", "t"]),
    ],
)
def test_a_circle_in_the_store_ends(
    conn: Connection, parents: dict[str, tuple[int, str]], found: list[str]
) -> None:
    _force(conn, parents)
    lon, lat = town.at(0.5, 0.5)
    place = {"lon": lon, "lat": lat, "scheme": None, "on": None, "known": None}
    explained = sa.text(f"EXPLAIN (ANALYZE, FORMAT JSON) {grids._CHAIN.text}")
    took = [conn.execute(explained, place).scalar_one()[0]["Execution Time"] for _ in range(3)]
    assert min(took) <= 50
    assert [link["code"] for link in grids.chain(conn, lon, lat, grids.Wish()).links] == found


@given(
    st.dictionaries(
        st.sampled_from("abcdefg"), st.one_of(st.none(), st.sampled_from("abcdefgxy")), max_size=7
    )
)
def test_the_rootless_are_those_that_never_reach_a_root(parents: dict[str, str | None]) -> None:
    def walk(code: str) -> str:
        at: str | None = code
        for _ in range(len(parents) + 1):
            if at is None:
                return "root"
            if at not in parents:
                return "unknown"
            at = parents[at]
        return "circle"

    assert rootless(parents) == {code: walk(code) for code in parents if walk(code) != "root"}


def test_categories_are_a_tree_too(conn: Connection, tmp_path: Path) -> None:
    told = [
        ("01", None, "root"), ("0101", "01", "fine"), ("a", "b", ""), ("b", "a", ""), ("c", "a", ""),
        ("s", "s", ""), ("u", "nobody", ""), ("v", "u", ""),
    ]  # fmt: skip
    frame = pd.DataFrame(told, columns=["code", "parent", "note"]).assign(name_en=lambda f: f["code"])
    options = Options(mapping=mapping.plain("categories"), refused=tmp_path / "refused.csv")
    outcome = run(conn, "categories", from_frame(frame, "tree"), options)
    assert (outcome.inserted, outcome.refused) == (2, 6)
    assert {reason.split(";")[0]: count for (_, reason), count in outcome.reasons.items()} == {
        "leads round in a circle": 4, "leads to no category": 2,
    }  # fmt: skip


def test_a_circle_of_categories_in_the_store_ends(conn: Connection) -> None:
    conn.execute(schema.categories.insert(), [{"code": c, "name_zh": c, "name_en": c} for c in "ab"])
    conn.execute(schema.categories.update().where(schema.categories.c.code == "a").values(parent="b"))
    conn.execute(schema.categories.update().where(schema.categories.c.code == "b").values(parent="a"))
    assert city.with_descendants(conn, "a") == ("a", "b")
