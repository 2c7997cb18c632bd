"""The Chinese guide's headings are read without a mapping, for every kind it has a row for."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import schema
from gis.importing import mapping, proposing, reading
from gis.importing.job import Options, rules
from gis.importing.kinds import KINDS
from gis.importing.mapping import Level, Scheme
from gis.importing.run import run
from gis.importing.scheming import declare
from tests import town

GUIDE = Path(__file__).parents[1] / "docs/own-city.zh-CN.md"
ROW = re.compile(r"^\| `(\w+)` [^|]*\| (.+) \|$", re.MULTILINE)
TABLES = {kind: re.sub(r"（或[^）]*）", "", named) for kind, named in ROW.findall(GUIDE.read_text("utf-8"))}
VALUES = {
    "编号": "1", "名称": "御山和苑", "姓名": "张三", "道路名称": "嵩山路", "道路等级": "主干路",
    "是否单行": "否", "限速": "60", "左起": "1", "左止": "99", "右起": "2", "右止": "100",
    "地址": "嵩山路88号", "用途": "住宅", "层数": "18", "户数": "72", "单元数": "2",
    "国标编码": "43028100001320000001", "类型": "枪机", "朝向": "东北、南", "视场角": "90",
    "可视距离": "80", "状态": "正常", "技能": "急救、巡逻", "人数": "3", "驻地": "嵩山路88号",
    "定位时间": "2025年3月1日 10:00", "电话": "000", "岗位": "网格员", "方案": "safety", "网格编码": "T1a",
    "任职日期": "2025-01-01", "离任日期": "2030-01-01", "经度": "113.005", "纬度": "27.045",
}  # fmt: skip
SHAPES = {
    "line": "LINESTRING (113.001 27.041, 113.009 27.049)",
    "polygon": "POLYGON ((113.004 27.044, 113.0042 27.044, 113.0042 27.0442, 113.004 27.044))",
}


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    town.add_city(conn)
    return conn


def table(kind: str, folder: Path) -> Path:
    """Write a table of one row with the guide's headings for a kind, all of them."""
    heads = [head for head in re.split("[、（）]+", TABLES[kind]) if head]
    own = VALUES | {"边界": SHAPES.get(KINDS[kind].shape or "", "")}
    own |= {"areas": {"类型": "水库"}, "responders": {"状态": "available"}}.get(kind, {})
    file = folder / f"{kind}.csv"
    row = ",".join(f'"{own[head]}"' for head in heads)
    file.write_text(f"{','.join(heads)}\n{row}\n", encoding="gb18030")
    return file


def test_every_kind_beside_grids_categories_and_incidents_has_its_headings() -> None:
    assert set(TABLES) == set(KINDS) - {"grids", "categories", "incidents"}


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_the_headings_of_the_guide_need_no_mapping(store: Connection, tmp_path: Path, kind: str) -> None:
    source = reading.read(table(kind, tmp_path))
    outcome = run(store, kind, source, Options(datum="wgs84", refused=tmp_path / "refused.csv"))
    assert (outcome.inserted, outcome.mapping) == (1, "zh-spreadsheet"), outcome.reasons
    assert not [note for note in outcome.notes if "not use" in note]


def test_a_road_of_a_chinese_table_is_a_main_road_with_its_numbers(store: Connection, tmp_path: Path) -> None:
    source = reading.read(table("roads", tmp_path))
    run(store, "roads", source, Options(datum="wgs84", refused=tmp_path / "refused.csv"))
    kept = store.execute(sa.select(schema.roads)).mappings().one()
    assert kept["class"] == "primary"
    assert [kept[name] for name in ("left_from", "left_to", "right_from", "right_to")] == [1, 99, 2, 100]


@pytest.mark.parametrize("kind", ["roads", "buildings", "areas"])
def test_a_proposal_takes_shapes_by_what_they_are(store: Connection, tmp_path: Path, kind: str) -> None:
    file = table(kind, tmp_path)
    file.write_text(file.read_text("gb18030").replace("边界", "图形"), encoding="gb18030")
    proposed = proposing.propose(KINDS[kind], reading.read(file), rules(store, mapping.plain(kind)))
    assert '\ngeometry = "图形"' in proposed
    if kind == "roads":
        assert '"主干路" = "primary"' in proposed


@pytest.mark.parametrize("sign", ["、", "|", "，", ",", "；", ";", "/", "||", "、；", "| |"])
def test_a_list_is_cut_at_whatever_sign_people_use(store: Connection, tmp_path: Path, sign: str) -> None:
    file = tmp_path / "队伍.csv"
    head, row = "编号,姓名,技能,经度,纬度", f'1,张三,"急救{sign} 灭火",113.005,27.045'
    file.write_text(f"{head}\n{row}\n", "utf-8")
    options = Options(refused=tmp_path / "r.csv", mapping=mapping.ready()["zh-spreadsheet"]["responders"])
    run(store, "responders", reading.read(file), options)
    skills = schema.responders.c.skills
    assert store.execute(sa.select(skills)).scalars().all() == [["急救", "灭火"]]


@pytest.mark.parametrize(
    ("own", "named", "goes_to"),
    [(None, None, "safety"), ("社会治理", None, "社会治理"), ("社会治理", "社会治理", "社会治理")],
)
def test_grids_of_a_workbook_go_into_the_citys_own_scheme(
    conn: Connection, tmp_path: Path, own: str | None, named: str | None, goes_to: str
) -> None:
    names = ("市", "街道") if own is None else ("城区", "社区")
    if own:
        given = [Level(level=n + 1, name_zh=name, name_en=name) for n, name in enumerate(names)]
        declare(conn, [Scheme(name=own, title_zh=own, title_en=own, default=True, levels=given)])
    square = "POLYGON ((113 27, 113.1 27, 113.1 27.1, 113 27.1, 113 27))"
    head = "网格编码,网格名称,层级,上级编码,边界" + ",方案" * bool(named)
    rows = [f'45,甲,{names[0]},,"{square}"', f'4501,乙,{names[1]},45,"{square}"']
    if own is None:
        rows = [rows[0], rows[1].replace("街道", "区县")]
    file = tmp_path / "网格.csv"
    file.write_text("\n".join([head, *(row + f",{named}" * bool(named) for row in rows)]), "utf-8")
    outcome = run(conn, "grids", reading.read(file), Options(refused=tmp_path / "r.csv", datum="wgs84"))
    assert (outcome.inserted, outcome.refused) == (2, 0), outcome.reasons
    stored = conn.execute(
        sa.select(schema.grids.c.scheme, schema.grids.c.level).order_by(schema.grids.c.code)
    )
    assert [tuple(row) for row in stored] == [(goes_to, 1), (goes_to, 2)]
    assert conn.execute(sa.select(schema.schemes.c.name)).scalars().all() == [goes_to]


def test_levels_are_read_by_the_names_of_their_rows_scheme(conn: Connection, tmp_path: Path) -> None:
    for name, names, default in (
        ("城市管理", ("城区", "社区"), True),
        ("公安", ("社区", "城区", "派出所"), False),
    ):
        given = [Level(level=n + 1, name_zh=one, name_en=one) for n, one in enumerate(names)]
        declare(conn, [Scheme(name=name, title_zh=name, title_en=name, default=default, levels=given)])
    square = '"POLYGON ((113 27, 113.1 27, 113.1 27.1, 113 27.1, 113 27))"'
    rows = [
        f"1,甲,城区,,{square},", f"11,乙,社区,1,{square},城市管理", f"1,甲,社区,,{square},公安",
        f"11,乙,城区,1,{square},公安", f"111,丙,派出所,11,{square},公安", f"9,丁,派出所,1,{square},",
    ]  # fmt: skip
    file = tmp_path / "网格.csv"
    file.write_text("\n".join(["网格编码,网格名称,层级,上级编码,边界,方案", *rows]), "utf-8")
    outcome = run(conn, "grids", reading.read(file), Options(refused=tmp_path / "r.csv", datum="wgs84"))
    assert (outcome.inserted, outcome.refused) == (5, 1), outcome.reasons
    g = schema.grids.c
    stored = conn.execute(sa.select(g.scheme, g.code, g.level).order_by(g.scheme, g.code)).all()
    assert [tuple(row) for row in stored] == [
        ("公安", "1", 1), ("公安", "11", 2), ("公安", "111", 3), ("城市管理", "1", 1), ("城市管理", "11", 2),
    ]  # fmt: skip
    assert "派出所" in (tmp_path / "r.csv").read_text("utf-8-sig")
