"""Publishing: merged by grid with what others published, in both times, with lineage and staff."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import pytest
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gis import faults, grids, plan_store, plans, publishing, schema, schema_plans
from gis.access import COMMAND, Principal, enter
from gis.errors import BadInput, Conflicted, Forbidden, Problem
from gis.grids import Wish
from gis.importing.frames import from_frame
from gis.importing.job import Options
from gis.importing.run import run
from tests import town

ANN = Principal("planner", name="ann", full_role="planner")
BOB = Principal("planner", name="bob", full_role="planner")
CHIEF = Principal("approver", name="chief", full_role="approver")


@pytest.fixture
def asking(database_of_town: Engine) -> Iterator[Connection]:
    with database_of_town.connect() as conn:
        enter(conn, COMMAND)
        yield conn
        conn.rollback()


@pytest.fixture(scope="module")
def database_of_town(engine: Engine) -> Engine:
    with engine.begin() as conn:
        town.add_grids(conn)
        batch = town.add_city(conn)
        town.add_keeper(conn, batch, "T1b")
        for n, place in enumerate([(0.5, 0.5), (1.5, 0.5), (1.5, 2.5), (2.5, 0.5), (4.5, 1.5)]):
            town.add_building(conn, batch, f"{n}", town.at(*place))
    return engine


def line(*places: tuple[float, float]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [town.at(*place) for place in places]}


def halve(code: str, column: float) -> dict[str, Any]:
    return {"op": "split", "code": code, "line": line((column, -1), (column, 6))}


def named(name: str) -> dict[str, Any]:
    return {"op": "rename", "code": "T2d", "name": name}


BORDER_AB = {"op": "reshape", "codes": ["T1a", "T1b"], "line": line((2, 1), (1.7, 1.5), (2, 2))}


def drawn(
    conn: Connection, *steps: dict[str, Any], who: Principal = ANN, scope: str = "T", on: date | None = None
) -> int:
    plan = plans.create(conn, who, scope, "t", on, None).id
    for step in steps:
        plans.take(conn, who, plan, step)
    return plan


def approved(conn: Connection, plan: int) -> int:
    plans.submit(conn, plan)
    plans.approve(conn, CHIEF, plan)
    return plan


def published(conn: Connection, plan: int) -> publishing.Published:
    return publishing.publish(conn, approved(conn, plan))


def owner(conn: Connection, place: tuple[float, float], **wish: Any) -> str:
    return str(grids.chain(conn, *town.at(*place), Wish(**wish)).links[0]["code"])


def sound(conn: Connection, on: date | None = None) -> None:
    """The whole map of a day is a coverage, level by level."""
    asked = grids.resolve(conn, Wish(None, on))
    g = schema.grids.c
    rows = conn.execute(
        sa.select(g.code, g.parent_code, sa.func.ST_AsBinary(g.geom)).where(grids.current(asked))
    ).all()
    frame = gpd.GeoDataFrame(
        {"code": [r[0] for r in rows], "parent_code": [r[1] for r in rows]},
        geometry=shapely.from_wkb([bytes(r[2]) for r in rows]), crs=4326,
    )  # fmt: skip
    found = [f for f in faults.check(frame) if f.severity == "error" or f.kind == "unmatched_vertices"]
    assert found == []


def test_a_split_is_published_with_lineage_and_keepers(asking: Connection) -> None:
    done = published(asking, drawn(asking, halve("T1b", 3)))
    (new,) = set(done.changed) - {"T1a", "T1b", "T1c", "T2d", "T2e", "T1", "T2", "T"}
    assert {owner(asking, (2.5, 0.5)), owner(asking, (3.5, 0.5))} == {"T1b", new}
    assert owner(asking, (3.5, 0.5), known=done.revision - 1) == "T1b"
    sound(asking)
    table = schema_plans.lineage
    rows = asking.execute(sa.select(table).where(table.c.revision == done.revision)).all()
    assert {(r.before_code, r.after_code, r.kind) for r in rows} == {
        ("T1b", "T1b", "kept"), ("T1b", new, "split")}  # fmt: skip
    for share in ("area_share", "household_share", "building_share"):
        assert sum(getattr(r, share) for r in rows) == pytest.approx(1, abs=1e-12)
    for place in ((2.5, 0.5), (3.5, 0.5)):
        chain = grids.chain(asking, *town.at(*place), Wish())
        assert [one["name"] for one in chain.links[0]["staff"]] == ["甲"]


def test_merging_passes_the_keeper_on(asking: Connection) -> None:
    done = published(asking, drawn(asking, {"op": "merge", "codes": ["T1a", "T1b"]}))
    assert done.gone == ["T1b"]
    chain = grids.chain(asking, *town.at(2.5, 0.5), Wish())
    assert chain.links[0]["code"] == "T1a"
    assert [one["name"] for one in chain.links[0]["staff"]] == ["甲"]
    before = grids.chain(asking, *town.at(2.5, 0.5), Wish(None, town.FOUNDED))
    assert (before.links[0]["code"], len(before.links[0]["staff"])) == ("T1b", 1)
    sound(asking)


def test_drafts_on_different_grids_merge_by_themselves(asking: Connection) -> None:
    """Ann splits a up to its border with d, Bob splits d up to the same border: both get both vertices."""
    ann, bob = drawn(asking, halve("T1a", 0.6)), drawn(asking, halve("T2d", 1.3), who=BOB)
    first = published(asking, ann)
    second = published(asking, bob)
    assert second.revision > first.revision
    assert len({owner(asking, (x, 1)) for x in (0.3, 1.0)} | {owner(asking, (x, 4)) for x in (1.0, 2)}) == 4
    sound(asking)


def test_drafts_on_the_same_grid_conflict_by_grid(asking: Connection) -> None:
    ann, bob = drawn(asking, halve("T1a", 0.6)), drawn(asking, BORDER_AB, halve("T2e", 4), who=BOB)
    published(asking, ann)
    approved(asking, bob)
    with pytest.raises(Conflicted) as refused:
        publishing.publish(asking, bob)
    (told,) = refused.value.told["conflicts"]
    assert (told["code"], told["fields"]) == ("T1a", ["shape"])
    assert told["mine"]["properties"]["code"] == told["theirs"]["properties"]["code"] == "T1a"
    assert "T1b" in told["with"]


LATER = town.FOUNDED + timedelta(days=40)
MERGED = {"op": "merge", "codes": ["T1a", "T1b"], "into": "T1a"}
BORDER_DE = {"op": "reshape", "codes": ["T2d", "T2e"], "line": line((3, 3.5), (3.4, 4), (3, 4.5))}
IN_CONFLICT = [
    pytest.param(halve("T1a", 0.6), town.FOUNDED, [BORDER_AB], ["T1a"], id="a border of a grid split"),
    pytest.param(MERGED, town.FOUNDED, [halve("T1b", 2.5)], ["T1b"], id="split of a grid that is gone"),
    pytest.param(named("甲"), town.FOUNDED, [named("乙"), halve("T1a", 0.6)], ["T2d"], id="two names"),
    pytest.param(halve("T2e", 4), LATER, [BORDER_DE], ["T2e"], id="a later map"),
]


def _submit(conn: Connection, plan: int) -> object:
    return publishing.submit(conn, plan)


def _approve(conn: Connection, plan: int) -> object:
    return publishing.approve(conn, CHIEF, plan)


def _approve_as_seen(conn: Connection, plan: int) -> object:
    return publishing.approve(conn, CHIEF, plan, plan_store.newest(conn))


@pytest.mark.parametrize(("theirs", "on", "mine", "codes"), IN_CONFLICT)
@pytest.mark.parametrize(
    ("before", "doors"),
    [
        pytest.param([], [_submit], id="submit"),
        pytest.param([_submit], [_approve, _approve_as_seen], id="approve"),
        pytest.param([_submit, _approve], [publishing.publish, _approve, _approve_as_seen], id="publish"),
    ],
)
def test_conflicts_stop_a_plan_at_every_door(
    asking: Connection, theirs: Any, on: date, mine: list[Any], codes: list[str], before: Any, doors: Any
) -> None:
    """Whether others publish before it is submitted, approved or published, or approved anew."""
    bob = drawn(asking, *mine, who=BOB, on=town.FOUNDED)
    for go in before:
        go(asking, bob)
    state = plan_store.get(asking, bob).state
    published(asking, drawn(asking, theirs, on=on))
    for door in doors:
        with pytest.raises(Conflicted, match=codes[0]) as refused:
            door(asking, bob)
        assert [one["code"] for one in refused.value.told["conflicts"]] == codes
        assert plan_store.get(asking, bob).state == state
    assert publishing.resolve(asking, bob, codes[0], "theirs") == []


def test_one_border_drawn_by_both_is_no_conflict(asking: Connection) -> None:
    """The shapes differ by the vertices of what else each drew; found by interleaving plans."""
    ann = drawn(asking, BORDER_AB, halve("T2e", 4))
    bob = drawn(asking, BORDER_AB, halve("T2d", 1.3), who=BOB)
    published(asking, ann)
    assert publishing.conflicts(asking, bob) == []
    published(asking, bob)
    sound(asking)
    assert owner(asking, (1.85, 1.5)) == "T1b"
    assert len({owner(asking, (x, 4)) for x in (1, 2, 3.5, 5)}) == 4


def test_one_name_given_by_both_is_no_conflict(asking: Connection) -> None:
    """The sum of what lies below differs, which is not the upper grid's doing."""
    named = {"op": "rename", "code": "T1", "name": "甲"}
    ann, bob = drawn(asking, named), drawn(asking, named, halve("T2d", 1.3), who=BOB)
    published(asking, ann)
    published(asking, bob)
    sound(asking)


@pytest.mark.parametrize("take", ["theirs", "mine"])
def test_a_conflict_is_decided(asking: Connection, take: str) -> None:
    ann, bob = drawn(asking, halve("T1a", 0.6)), drawn(asking, BORDER_AB, halve("T2e", 4), who=BOB)
    published(asking, ann)
    approved(asking, bob)
    assert publishing.resolve(asking, bob, "T1a", take) == []
    with pytest.raises(Problem, match="is draft"):
        publishing.publish(asking, bob)
    published(asking, bob)
    sound(asking)
    halves = {owner(asking, (0.3, 1)), owner(asking, (1.2, 1))}
    assert len(halves) == (1 if take == "mine" else 2), "Ann's split is undone, or stands"
    assert (owner(asking, (1.85, 1.5)) == "T1b") == (take == "mine"), "Bob's border is drawn, or is not"
    assert len({owner(asking, (3.5, 4)), owner(asking, (5, 4))}) == 2, "what is not in conflict is published"


@pytest.mark.parametrize(("take", "heir"), [("theirs", "T1a"), ("mine", "T1c")])
def test_a_grid_given_to_two_neighbours_is_in_conflict(asking: Connection, take: str, heir: str) -> None:
    """Gone on both sides, but to different grids: found by interleaving plans."""
    ann = drawn(asking, {"op": "merge", "codes": ["T1a", "T1b"], "into": "T1a"})
    bob = drawn(asking, {"op": "merge", "codes": ["T1b", "T1c"], "into": "T1c"}, halve("T2e", 4), who=BOB)
    published(asking, ann)
    (one,) = (each for each, _ in publishing.conflicts(asking, bob))
    assert (one.code, one.mine, one.theirs, one.together) == ("T1b", None, None, ("T1a", "T1c"))
    told = publishing.told(asking, "safety", [(one, town.FOUNDED)], "wgs84")
    assert (told[0]["mine"], told[0]["theirs"]) == (None, None)
    assert publishing.resolve(asking, bob, "T1b", take) == []
    published(asking, bob)
    sound(asking)
    assert owner(asking, (2.5, 0.5)) == heir
    assert len({owner(asking, (3.5, 4)), owner(asking, (5, 4))}) == 2, "what is not in conflict is published"


def test_a_decision_ends_when_the_grid_changes_once_more(asking: Connection) -> None:
    ann, bob = drawn(asking, halve("T1a", 0.6)), drawn(asking, BORDER_AB, who=BOB)
    published(asking, ann)
    publishing.resolve(asking, bob, "T1a", "mine")
    published(asking, drawn(asking, {"op": "rename", "code": "T1a", "name": "甲"}))
    assert [one.code for one, _ in publishing.conflicts(asking, bob)] == ["T1a"]


def test_an_import_says_which_published_grids_it_takes_back(asking: Connection) -> None:
    rows = asking.execute(sa.text("SELECT code, name, level, parent_code, geom FROM grids")).all()
    file = gpd.GeoDataFrame(
        {name: [getattr(row, name) for row in rows] for name in ("code", "name", "level", "parent_code")},
        geometry=shapely.from_wkb([str(row.geom) for row in rows]), crs=4326,
    )  # fmt: skip

    def notes() -> list[str]:
        done = run(asking, "grids", from_frame(file, "old.gpkg"), Options())
        return [note for note in done.notes if "takes back" in note]

    assert notes() == []
    published(asking, drawn(asking, {"op": "merge", "codes": ["T1a", "T1b"], "into": "T1a"}))
    (told,) = notes()
    assert "of 2 grids: T1a, T1b;" in told


def test_a_plan_for_a_future_day_holds_from_then(asking: Connection) -> None:
    day = grids.resolve(asking, Wish()).on + timedelta(days=40)
    published(asking, drawn(asking, halve("T1a", 1), on=day))
    assert owner(asking, (0.3, 1)) == owner(asking, (1.5, 1)) == "T1a"
    assert owner(asking, (0.3, 1), on=day) != owner(asking, (1.5, 1), on=day)
    sound(asking)
    sound(asking, day)


def test_a_correction_reaches_back_and_on_under_later_maps(asking: Connection) -> None:
    """A later map that changes other grids keeps its change and takes ours on."""
    today = grids.resolve(asking, Wish()).on
    published(asking, drawn(asking, halve("T2e", 4)))
    back = today - timedelta(days=100)
    done = published(asking, drawn(asking, halve("T1a", 1), on=back))
    for on in (back, today):
        assert owner(asking, (0.3, 1), on=on) != owner(asking, (1.5, 1), on=on)
        sound(asking, on)
    assert owner(asking, (0.3, 1), on=back - timedelta(days=1)) == "T1a"
    assert owner(asking, (0.3, 1), on=back, known=done.revision - 1) == "T1a"
    assert owner(asking, (3.5, 4), on=today) != owner(asking, (5, 4), on=today)
    assert owner(asking, (3.5, 4), on=back) == owner(asking, (5, 4), on=back)


def test_a_later_map_of_the_same_grid_is_a_conflict(asking: Connection) -> None:
    today = grids.resolve(asking, Wish()).on
    later = today + timedelta(days=30)
    published(asking, drawn(asking, halve("T1a", 0.6), on=later))
    plan = drawn(asking, BORDER_AB)
    ((found, day),) = publishing.conflicts(asking, plan)
    assert (found.code, day) == ("T1a", later)
    with pytest.raises(BadInput, match="take theirs"):
        publishing.resolve(asking, plan, "T1a", "mine")
    assert publishing.resolve(asking, plan, "T1a", "theirs") == []
    published(asking, plan)
    assert owner(asking, (1.85, 1.5)) == "T1b"
    assert owner(asking, (1.85, 1.5), on=later) != "T1b"
    sound(asking, today)
    sound(asking, later)


def test_neighbours_outside_the_scope_take_the_vertices(asking: Connection) -> None:
    """A split within quarter 1 ends on the border of quarter 2, which no plan of quarter 1 holds."""
    published(asking, drawn(asking, halve("T1a", 0.6), scope="T1"))
    sound(asking)


def test_nobody_approves_their_own(asking: Connection) -> None:
    plan = plans.create(asking, CHIEF, "T", "t", None, None).id
    with pytest.raises(Problem, match="changes nothing"):
        plans.submit(asking, plan)
    plans.take(asking, CHIEF, plan, halve("T1a", 1))
    plans.submit(asking, plan)
    with pytest.raises(Forbidden, match="had a hand in"):
        plans.approve(asking, CHIEF, plan)
    with pytest.raises(Problem, match="is submitted"):
        publishing.publish(asking, plan)
    with pytest.raises(Problem, match="is submitted"):
        plans.take(asking, CHIEF, plan, halve("T1c", 5))
