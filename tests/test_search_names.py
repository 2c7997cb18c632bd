"""Grids by names with numbers and commas, and places as points are written."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.addresses.match import find
from gis.addresses.matches import Match
from tests import town


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    conn.execute(sa.update(schema.city).values(name_en="Town", within=["Land"]))
    return conn


def _call(conn: Connection, **names: Any) -> None:
    for code, name in names.items():
        conn.execute(sa.update(schema.grids).where(schema.grids.c.code == code).values(name=name))


def _best(conn: Connection, text: str) -> list[Match]:
    found = find(conn, text, 5)
    return [one for one in found.matches if one.score >= 0.9]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("District 1", ["District 01", "district 001", "District 1", "DISTRICT 0１"]),
        ("District 01", ["District 1", "District 001"]),
        ("Distrito 7", ["Distrito 07", "distrito 007"]),
        ("第1区", ["第01区", "第一区", "第001区"]),
        ("第03网格", ["第3网格", "第三网格"]),
        ("Bezirk 12 Nord", ["Bezirk 012 Nord"]),
        ("Ward 4B", ["Ward 04B"]),
        ("5", ["Quarter 05", "Quarter 5", "05 quarter", "片区 05"]),
    ],
)
def test_zeros_before_the_number_of_a_grid_do_not_matter(
    store: Connection, name: str, texts: list[str]
) -> None:
    _call(store, T1=name)
    assert {text: [one.code for one in _best(store, text)] for text in texts} == {
        text: ["T1"] for text in texts
    }


def test_the_name_as_it_is_written_wins(store: Connection) -> None:
    _call(store, T1="District 1", T2="District 01")
    assert [one.code for one in _best(store, "District 01")] == ["T2", "T1"]
    assert [one.code for one in _best(store, "District 1")] == ["T1", "T2"]


@pytest.mark.parametrize("text", ["District 10", "District 11", "District 0", "District", "District 1.5"])
def test_other_numbers_are_other_grids(store: Connection, text: str) -> None:
    _call(store, T1="District 1", T2="District 100")
    assert [one for one in _best(store, text) if one.code in {"T1", "T2"}] == []


@pytest.mark.parametrize(
    "name",
    [
        "Old Town, North",
        "Ward 3, Ost",
        "Centro, Sector 2",
        "Town, North End",
        "荷塘区，北片",
        "Hill (Upper), 12",
    ],
)
def test_a_name_with_a_comma_is_found_whole(store: Connection, name: str) -> None:
    _call(store, T1=name)
    for text in (name, name.lower(), name.replace(",", " ,"), f" {name} "):
        assert [one.code for one in _best(store, text)][:1] == ["T1"], text


@pytest.mark.parametrize(
    "form",
    ["POINT ({} {})", "POINT({} {})", "point( {} {} )", "SRID=4326;POINT({} {})", "POINT Z ({} {} 3.5)"],
)
def test_a_point_as_databases_write_it_is_a_place(store: Connection, form: str) -> None:
    lon, lat = town.at(0.5, 0.5)
    first = find(store, form.format(lon, lat), 3).matches[0]
    assert (first.kind, first.lon, first.lat) == ("coordinate", lon, lat)
    far = find(store, form.format(116.4, 39.9), 3).matches[0]
    assert (far.kind, far.lon, far.lat) == ("coordinate", 116.4, 39.9)
    assert [one.kind for one in find(store, form.format(113.0, 227.0), 3).matches] == []
