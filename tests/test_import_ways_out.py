"""What an import cannot do is said with the way out; days are read by their usual headings."""

from pathlib import Path

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.importing import mapping, proposing, reading
from gis.importing.frames import from_frame
from gis.importing.job import Options, Outcome, rules
from gis.importing.kinds import KINDS
from gis.importing.run import run
from tests import town
from tests.test_import_grids import MAPPING, SCHEME, drawn


def _bring(
    conn: Connection,
    kind: str,
    frame: gpd.GeoDataFrame,
    said: mapping.Mapping,
    where: Path,
    *,
    repair: bool = False,
) -> Outcome:
    options = Options(mapping=said, datum="wgs84", refused=where / "refused.csv", repair=repair)
    return run(conn, kind, from_frame(frame, "f"), options)


@pytest.mark.parametrize("other", ["police", "fire", "片区"])
def test_a_default_that_changes_nothing_is_said(conn: Connection, tmp_path: Path, other: str) -> None:
    first = _bring(conn, "grids", drawn("aabb"), MAPPING, tmp_path)
    assert not any("default = true" in note for note in first.notes)
    declared = [mapping.Scheme.model_validate({**SCHEME, "name": other})]
    said = MAPPING.model_copy(update={"schemes": declared})
    notes = _bring(conn, "grids", drawn("aabb", scheme=other), said, tmp_path).notes
    noted = [note for note in notes if "default = true" in note]
    assert len(noted) == 1
    assert f"levels set {other} --default" in noted[0]
    assert "the default is safety" in noted[0]
    usual = sa.select(schema.schemes.c.name).where(schema.schemes.c.is_default)
    assert conn.execute(usual).scalars().all() == ["safety"]


LON, LAT = town.at(0.5, 0.5)
FLAT = {
    "line": shapely.Polygon([(LON, LAT), (LON + 1e-3, LAT), (LON + 2e-3, LAT), (LON, LAT)]),
    "point": shapely.Polygon([(LON, LAT)] * 4),
    "there and back": shapely.Polygon([(LON, LAT), (LON + 1e-3, LAT + 1e-3), (LON, LAT), (LON, LAT)]),
}


@pytest.mark.parametrize("shape", FLAT)
@pytest.mark.parametrize("repair", [False, True])
def test_a_polygon_without_area_is_refused_with_what_to_do(
    conn: Connection, tmp_path: Path, shape: str, *, repair: bool
) -> None:
    town.add_grids(conn)
    town.add_city(conn)
    bow = shapely.Polygon(
        [(LON, LAT), (LON + 1e-3, LAT + 1e-3), (LON + 1e-3, LAT), (LON, LAT + 1e-3), (LON, LAT)]
    )
    frame = gpd.GeoDataFrame({"origin_id": ["1", "2"]}, geometry=[FLAT[shape], bow], crs=4326)
    outcome = _bring(conn, "buildings", frame, mapping.plain("buildings", "t"), tmp_path, repair=repair)
    why = [reason for _, reason in outcome.reasons]
    assert "encloses no area" in why[0]
    assert "draw it again, or take the row out" in why[0]
    assert outcome.accepted == (1 if repair else 0)
    assert repair or "--repair" in why[1]


DAYS = {
    "zh-spreadsheet": [
        ("生效日期", "失效日期"), ("开始日期", "结束日期"), ("啟用日期", "終止日期"),
        ("有效期起", "有效期止"), ("開始日期", "結束日期"),
    ],
    "en-spreadsheet": [
        ("Valid From", "Valid To"), ("Effective Date", "Expiry Date"), ("Start Date", "End Date"),
        ("VALID FROM", "Valid Until"), ("Since", "Until"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", ["grids", "staff"])
@pytest.mark.parametrize(("name", "pair"), [(name, pair) for name, pairs in DAYS.items() for pair in pairs])
def test_days_of_all_dated_kinds_are_read_by_their_usual_headings(
    kind: str, name: str, pair: tuple[str, str]
) -> None:
    of = mapping.ready()[name][kind]
    assert [of.found(field, list(pair)) for field in ("valid_from", "valid_to")] == [*pair]


@pytest.mark.parametrize(
    ("scheme", "start"), [("方案", "生效日期"), ("scheme", "valid_from"), ("Scheme", "Valid From")]
)
def test_codes_are_judged_within_their_scheme_and_days(
    conn: Connection, tmp_path: Path, scheme: str, start: str
) -> None:
    town.add_grids(conn)
    rows = [
        "safety,01,2020-01-01,1",
        "police,01,2020-01-01,2",
        "safety,02,2020-01-01,3",
        "safety,01,2024-01-01,4",
    ]
    file = tmp_path / "g.csv"

    def proposed(*more: str) -> str:
        file.write_text("\n".join([f"{scheme},code,{start},OID", *rows, *more]), encoding="utf-8")
        return proposing.propose(KINDS["grids"], reading.read(file), rules(conn, mapping.plain("grids")))

    assert 'code = "code"' in proposed()
    assert 'code = "OID"' in proposed("safety,01,2024-01-01,5"), "twice on the same days in one scheme"
