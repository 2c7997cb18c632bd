"""Incidents on long streets, where a house is registered far along its own street from its range."""

from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.match import find
from gis.importing import mapping
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome
from gis.importing.run import run
from tests import town
from tests.addressed import prepare

OTHER_FORMS = [
    ("Avenida Santander", "Santander 10", "Avenida Santander 10"),
    ("Via Verdi", "Verdi 10", "Via Verdi 10"),
    ("Rue Haute", "Haute 10", "Rue Haute 10"),
    ("Rua Augusta", "Augusta 10", "Rua Augusta 10"),
    ("Moi Avenue", "Moi 10", "10 Moi Avenue"),
    ("ulica Długa", "ul. Długa 10", "ulica Długa 10"),
    ("Jalan Melati", "Jl. Melati 10", "Jalan Melati 10"),
    ("Mabini Street", "10 Mabini St.", "10A Mabini Street"),
    ("Luna Street", "10 Luna St., 2nd Floor", "10-A Luna Street"),
    ("San Jose Drive", "2/F 10 San Jose Dr.", "10 San Jose Drive"),
]
"""A street, a form of its number 10 that is registered, and one that is looked for."""


@pytest.fixture
def store(conn: Connection) -> Connection:
    return prepare(conn)


def bring(conn: Connection, kind: str, data: pd.DataFrame) -> Outcome:
    return run(conn, kind, from_frame(data, "f"), Options(mapping=mapping.plain(kind, "t")))


def build_streets(conn: Connection, names: list[str]) -> None:
    """Import streets side by side, each a single line of 1 km with the numbers 1 to 100."""
    rows = [{"origin_id": name, "class": "local", "name": name, "left_from": 1, "left_to": 99,
             "right_from": 2, "right_to": 100} for name in names]  # fmt: skip
    lines = [shapely.LineString([town.at(0.2, _row(n)), town.at(1.2, _row(n))]) for n in range(len(names))]
    assert bring(conn, "roads", gpd.GeoDataFrame(rows, geometry=lines, crs=4326)).refused == 0


def _row(n: int) -> float:
    return 0.2 + 0.05 * n


def register(conn: Connection, kind: str, addresses: list[tuple[str, tuple[float, float]]]) -> None:
    """Import addresses of places, or of buildings of some 10 m."""
    rows: list[dict[str, Any]] = [{"origin_id": text, "address": text, "name": "a"} for text, _ in addresses]
    if kind == "places":
        data = pd.DataFrame(
            [
                {**row, "kind": "house", "lon": x, "lat": y}
                for row, (_, (x, y)) in zip(rows, addresses, strict=True)
            ]
        )
    else:
        shapes = [shapely.Point(at).buffer(5e-5) for _, at in addresses]
        data = gpd.GeoDataFrame(rows, geometry=shapes, crs=4326)
    assert bring(conn, kind, data).refused == 0


def placed(conn: Connection, addresses: list[str]) -> dict[str, str | None]:
    """Import an incident at each address and return by what it was placed; None for a refusal."""
    rows = [
        {"origin_id": text, "category": "0101", "source": "hotline", "colour": "blue", "state": "closed",
         "occurred_at": "2024-05-01T12:00:00+08:00", "address": text}
        for text in addresses
    ]  # fmt: skip
    bring(conn, "incidents", pd.DataFrame(rows))
    stored = conn.execute(sa.text("SELECT origin_id, placed_by FROM incidents")).all()
    by = {row.origin_id: str(row.placed_by) for row in stored}
    return {text: by.get(text) for text in addresses}


@pytest.mark.parametrize("kind", ["places", "buildings"])
def test_a_house_registered_far_along_its_own_street_holds_the_range(store: Connection, kind: str) -> None:
    build_streets(store, [street for street, *_ in OTHER_FORMS])
    far = [(form, town.at(0.9, _row(n) + 0.02)) for n, (_, form, _) in enumerate(OTHER_FORMS)]
    near = [
        (form.replace("10", "60"), town.at(0.8, _row(n) + 0.02)) for n, (_, form, _) in enumerate(OTHER_FORMS)
    ]
    register(store, kind, [*far, *near])
    texts = [text for *_, text in OTHER_FORMS]
    held = placed(store, texts)
    assert "range" not in held.values(), held
    alike = placed(store, [text.replace("10", "60") for text in texts])
    other = placed(store, [text.replace("10", "30") for text in texts])
    assert None not in alike.values(), alike
    assert set(other.values()) == {"range"}, other
    for _, form, text in OTHER_FORMS:
        assert form in [match.address for match in find(store, text, 5).matches], text
