"""The public's release over the demo city: exact, nothing small, nothing by subtraction, told once."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import shapely
import sqlalchemy as sa
from fastapi.testclient import TestClient
from scipy import optimize, sparse
from sqlalchemy.engine import Connection, Engine

from api.main import make_app
from gis import cells as h3
from gis import db
from gis import schema as t
from gis.errors import Unknown
from gis.grids import Wish, resolve
from gis.schema_situation import public_counts, public_months
from layers import reach
from layers.counts import counts
from layers.hotspots import hotspots
from layers.public import forget_months, refuse_detail, release_months, released
from layers.stats.privacy import ALL, MIN_ADDRESSES, MIN_INCIDENTS
from layers.view import View, wanted_incidents

ZONE = ZoneInfo("Asia/Shanghai")
MONTHS = [datetime(2025, month, 1, tzinfo=ZONE) for month in range(1, 13)] + [
    datetime(2026, 1, 1, tzinfo=ZONE)
]


@pytest.fixture(scope="module")
def city(demo: str) -> Iterator[Engine]:
    engine = db.make_engine(demo)
    yield engine
    engine.dispose()


@pytest.fixture
def told(city: Engine) -> Iterator[Connection]:
    """The small demo city as its owner sees it; what a test changes is rolled back."""
    with city.connect() as conn:
        yield conn
        conn.rollback()


@pytest.fixture(scope="module")
def stranger(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Anybody, over HTTP."""
    service = db.engine_of_service(demo)
    with TestClient(make_app(lambda: service, tmp_path_factory.mktemp("data"))) as client:
        yield client
    service.dispose()


def public_view(conn: Connection) -> View:
    asked = resolve(conn, Wish())
    return View(asked.scheme, asked.on, asked.known, suppressed=True)


def answer(conn: Connection, view: View, res: int) -> dict[int, int]:
    cells, number = counts(conn, view, res)
    return dict(zip(cells.tolist(), number.tolist(), strict=True))


def tops(conn: Connection) -> list[str]:
    c = t.categories.c
    return list(conn.execute(sa.select(c.code).where(c.parent.is_(None)).order_by(c.code)).scalars())


def test_every_sum_is_the_tables(told: Connection) -> None:
    view, i = public_view(told), t.incidents.c
    whole = told.execute(sa.select(sa.func.count()).where(i.state != "withdrawn")).scalar_one()
    for res in h3.RESOLUTIONS:
        assert sum(answer(told, view, res).values()) == whole
    for top in tops(told):
        of_top = replace(view, categories=tuple(told.execute(_below(top)).scalars()))
        true = told.execute(sa.select(sa.func.count()).where(i.category.in_(of_top.categories))).scalar_one()
        assert sum(answer(told, of_top, 8).values()) == true
        assert released(told, of_top).untold == []
    assert released(told, view).span == (MONTHS[0].date(), MONTHS[-2].date())


def _below(top: str) -> sa.Select[tuple[str]]:
    c = t.categories.c
    return sa.select(c.code).where((c.code == top) | c.code.startswith(f"{top}."))


def test_nothing_is_small(told: Connection) -> None:
    """At least 3 incidents each; of all categories, at least 8 addresses in the ground spoken of."""
    rows = told.execute(sa.select(public_counts)).all()
    assert min(row.count for row in rows) >= MIN_INCIDENTS
    home = t.buildings.c.cell_10
    homes = dict(told.execute(sa.select(home, sa.func.count()).group_by(home)).all())
    cells = np.array(sorted(homes), dtype=np.uint64)
    chain = np.column_stack([cells, *(h3.parents(cells, res) for res in (9, 8, 7, 6))])
    for month in {row.month for row in rows}:
        shown = {row.cell for row in rows if (row.month, row.category) == (month, ALL)}
        root = next((cell for cell in shown if (cell >> 52) & 15 < 6), 0)
        addresses: Counter[int] = Counter()
        for cell, path in zip(cells.tolist(), chain.tolist(), strict=True):
            addresses[next((one for one in path if one in shown), root)] += homes[cell]
        assert all(addresses[cell] >= MIN_ADDRESSES for cell in shown)


def test_two_answers_never_differ_by_one_or_two(told: Connection) -> None:
    """Of periods that contain each other, at two resolutions, every difference is none or large."""
    rng, view = np.random.default_rng(5), public_view(told)
    periods = [tuple(sorted(rng.choice(13, 2, replace=False))) for _ in range(25)]
    answers = {}
    for first, last in set(periods):
        asked = replace(view, start=MONTHS[first], end=MONTHS[last])
        for res in (7, 9):
            answers[first, last, res] = answer(told, asked, res)
    compared = 0
    for (one, inner), (other, outer) in combinations(answers.items(), 2):
        if one[2] == other[2]:
            big, small = (inner, outer) if one[0] <= other[0] and one[1] >= other[1] else (outer, inner)
            inside = {one[0] <= other[0] and one[1] >= other[1], other[0] <= one[0] and other[1] >= one[1]}
            if True in inside:
                left = Counter(big)
                left.subtract(small)
                assert all(n == 0 or n >= MIN_INCIDENTS for n in left.values())
                compared += len(left)
    assert compared > 500


def test_no_solver_finds_a_small_count_in_all_that_was_told(told: Connection) -> None:
    """What was told of a month as equations over every finest cell and category, and a solver for them.

    Targets are cells of any resolution that truly hold one or two incidents, of a category or of all.
    """
    rng, month, names = np.random.default_rng(8), MONTHS[4], tops(told)
    finest = sa.select(t.cells.c.cell).where(t.cells.c.res == 10)
    cells = np.array(told.execute(finest).scalars().all(), dtype=np.uint64)
    paths = np.column_stack([cells, *(h3.parents(cells, res) for res in (9, 8, 7, 6))]).astype(np.int64)
    rows, totals = _equations(told, month, paths, names)
    true = _truth(told, month, cells, names)
    targets = []
    for level in range(4):
        for column in (*np.eye(len(names)), np.ones(len(names))):
            area, member = np.unique(paths[:, level], return_inverse=True)
            held = np.bincount(member, true @ column)
            small = np.flatnonzero((held > 0) & (held < MIN_INCIDENTS))
            targets += [(paths[:, level] == area[one], column) for one in small]
    assert len(targets) > 1000, "there is much to hide"
    for number in rng.choice(len(targets), 12, replace=False):
        where, column = targets[number]
        target = np.outer(where, column).ravel()
        low, high = (
            sign * optimize.linprog(sign * target, A_eq=rows, b_eq=totals, method="highs").fun
            for sign in (1, -1)
        )
        assert np.floor(high + 1e-6) > np.ceil(low - 1e-6)


def _equations(
    conn: Connection, month: datetime, paths: np.ndarray, names: list[str]
) -> tuple[sparse.csr_array, np.ndarray]:
    """Each told count is that of the finest cells whose nearest told area it is; all others hold none."""
    rows, totals = [], []
    for name in (ALL, *names):
        kept = np.ones(len(names)) if name == ALL else np.array([name == one for one in names], dtype=float)
        here = (public_counts.c.month == month.date()) & (public_counts.c.category == name)
        shown = dict(conn.execute(sa.select(public_counts.c.cell, public_counts.c.count).where(here)).all())
        whole = next((cell for cell in shown if (cell >> 52) & 15 < 6), 0)
        nearest = np.array([next((one for one in path if one in shown), whole) for path in paths.tolist()])
        for area in np.unique(nearest):
            rows.append(
                sparse.kron(sparse.csr_array([nearest == area], dtype=float), sparse.csr_array([kept]))
            )
            totals.append(shown.get(int(area), 0))
    return sparse.csr_array(sparse.vstack(rows)), np.array(totals, dtype=float)


def _truth(conn: Connection, month: datetime, cells: np.ndarray, names: list[str]) -> np.ndarray:
    i = t.incidents.c
    held = (i.occurred_at >= month) & (i.occurred_at < MONTHS[MONTHS.index(month) + 1])
    top = sa.func.split_part(i.category, ".", 1)
    place = {int(cell): number for number, cell in enumerate(cells)}
    true = np.zeros((len(cells), len(names)))
    for cell, name in conn.execute(sa.select(i.cell_10, top).where(held)):
        true[place[cell], names.index(name)] += 1
    return true


def test_days_tell_no_more_than_their_month(told: Connection) -> None:
    view = public_view(told)
    march = answer(told, replace(view, start=MONTHS[2], end=MONTHS[3]), 9)
    for first, last in ((1, 2), (10, 20), (30, 31)):
        start = datetime(2025, 3, first, 8, 30, tzinfo=ZONE)
        some = replace(view, start=start, end=datetime(2025, 3, last, tzinfo=ZONE) + timedelta(hours=2))
        assert answer(told, some, 9) == march


@pytest.mark.parametrize("areas", [6, pytest.param(14, marks=pytest.mark.slow)])
def test_of_an_area_the_truth_lies_between_what_is_told(told: Connection, areas: int) -> None:
    """At every level, for long and short periods; a number that is told is the true one.

    The true numbers are counted from the incidents; what is told does not depend on the resolution shown.
    """
    view, rng = public_view(told), np.random.default_rng(3)
    certain, vague = 0, 0
    for level in (1, 2, 3, 4, 5):
        for code in rng.permutation(_codes(told, level))[:areas].tolist():
            for first, last in ((0, 12), (2, 8), (5, 6)):
                area = replace(view, area=code, start=MONTHS[first], end=MONTHS[last])
                known, answers = (
                    released(told, area).bounds,
                    [hotspots(told, area, res).incidents for res in (6, 10)],
                )
                true = _true(told, area)
                assert known is not None
                assert known.at_least <= true <= known.at_most
                assert set(answers) == {true if known.at_least == known.at_most else None}
                certain += known.at_least > 0
                vague += true > 0 == known.at_least
    assert certain > 2 * areas
    assert vague > 3 * areas, "areas finer than the hexagons were among them"


def _codes(conn: Connection, level: int) -> list[str]:
    g = t.grids.c
    return list(conn.execute(sa.select(g.code).where(g.level == level).order_by(g.code)).scalars())


def _true(conn: Connection, view: View) -> int:
    return conn.execute(
        sa.select(sa.func.count()).where(*wanted_incidents(replace(view, suppressed=False)))
    ).scalar_one()


def test_a_wider_area_is_named_of_which_something_is_told(told: Connection) -> None:
    view, named = public_view(told), 0
    for code in _codes(told, 5)[:60]:
        area = replace(view, area=code)
        known = released(told, area).bounds
        assert known is not None
        if known.at_least == 0 < known.at_most and known.wider is not None:
            assert code.startswith(known.wider)
            wider = released(told, replace(view, area=known.wider)).bounds
            assert wider is not None
            assert wider.at_least > 0
            named += 1
        else:
            assert known.wider is None
    assert named > 20


def test_an_area_shows_whole_cells(told: Connection) -> None:
    """Each as it is told without the area, at every resolution: all that reach into it."""
    view = public_view(told)
    for res in h3.RESOLUTIONS:
        whole = answer(told, view, res)
        seen: set[int] = set()
        for code in _codes(told, 2):
            mine = answer(told, replace(view, area=code), res)
            assert all(whole[cell] == n for cell, n in mine.items())
            seen |= mine.keys()
        assert seen == whole.keys()
        assert answer(told, replace(view, area=_codes(told, 5)[0]), res)


def test_what_is_told_of_a_cell_lies_in_its_ground(told: Connection) -> None:
    """The ground that an area is held against holds all finest cells that are told with a cell."""
    ground = sa.select(t.cells.c.cell, sa.func.ST_AsBinary(reach.ground())).where(t.cells.c.res >= 6)
    rows = told.execute(ground.where((t.cells.c.id % 40 == 0) | (t.cells.c.res == 6))).all()
    assert len({row.cell >> 52 & 15 for row in rows}) == 5
    for cell, wkb in rows:
        finest, _ = h3.children(np.array([cell], dtype=np.uint64), 10)
        assert shapely.from_wkb(bytes(wkb)).contains_properly(shapely.union_all(h3.boundaries(finest)))


def test_over_http_an_area_too_fine_is_no_zero(stranger: TestClient, told: Connection) -> None:
    code = next(
        code
        for code in _codes(told, 5)
        if (known := released(told, replace(public_view(told), area=code)).bounds)
        and known.wider
        and _true(told, replace(public_view(told), area=code))
    )
    answers = [stranger.get(f"/hotspots?area={code}&res={res}").json() for res in h3.RESOLUTIONS]
    for one in answers:
        assert one["incidents"] is None
        assert (one["at_least"], one["withheld"]) == (0, [])
        assert one["at_most"] >= _true(told, replace(public_view(told), area=code))
        assert f"area={one['wider']}" in one["note"]
    assert len({(one["at_most"], one["wider"]) for one in answers}) == 1
    columns = stranger.get(f"/hotspots/values?area={code}").json()
    assert (columns["incidents"], columns["at_most"]) == (None, answers[0]["at_most"])
    sheet = stranger.get(f"/hotspots?area={code}&format=csv")
    assert sheet.headers["X-At-Most"] == str(answers[0]["at_most"])
    whole = stranger.get("/hotspots").json()
    assert (whole["incidents"], whole["at_least"], whole["at_most"]) == (6000, 6000, 6000)


def test_the_public_filters_by_nothing_finer(told: Connection) -> None:
    view = public_view(told)
    for finer in (
        replace(view, source="patrol"),
        replace(view, colour="red"),
        replace(view, categories=("order.theft",)),
    ):
        with pytest.raises(Unknown, match="field"):
            refuse_detail(told, finer)
    refuse_detail(told, replace(view, categories=tuple(told.execute(_below("order")).scalars())))


def test_a_second_call_changes_nothing(told: Connection) -> None:
    def everything() -> list[object]:
        return [
            told.execute(sa.select(table).order_by(*table.primary_key)).all()
            for table in (public_months, public_counts, t.cells)
        ]

    before = everything()
    assert len(before[0]) == 12
    assert release_months(told) == "12 months"
    assert everything() == before


def _everything_told(conn: Connection) -> list[object]:
    return [
        conn.execute(sa.select(table).order_by(*table.primary_key)).all()
        for table in (public_months, public_counts)
    ]


DECEMBER = [MONTHS[11].date()]


@pytest.mark.parametrize("number", [1, 3, 40, 10_000])
def test_a_month_is_told_once_whatever_comes_or_goes(told: Connection, number: int) -> None:
    """Two tellings would differ by what came in between: of three that lie apart each would be seen alone."""
    i = t.incidents
    before = _everything_told(told)
    here, elsewhere = (
        sa.select(i.c.id).where(i.c.occurred_at.between(*months)).order_by(i.c.id).limit(number)
        for months in ((MONTHS[11], MONTHS[12]), (MONTHS[4], MONTHS[5]))
    )
    told.execute(i.update().where(i.c.id.in_(here)).values(state="withdrawn"))
    told.execute(i.update().where(i.c.id.in_(elsewhere)).values(occurred_at=MONTHS[3] + timedelta(days=3)))
    said = release_months(told)
    assert _everything_told(told) == before
    assert ("2025-12 by -" in said and "2025-04 by +" in said) == (number >= 40)


def test_a_month_is_told_again_only_by_name(told: Connection) -> None:
    i = t.incidents
    last = sa.select(i.c.id).where(i.c.occurred_at >= MONTHS[11]).order_by(i.c.id).limit(3)
    december = sa.select(sa.func.sum(public_counts.c.count)).where(
        public_counts.c.category == ALL, public_counts.c.month == DECEMBER[0]
    )
    was = told.execute(december).scalar_one()
    told.execute(i.update().where(i.c.id.in_(last)).values(state="withdrawn"))
    forget_months(told, DECEMBER)
    release_months(told)
    assert told.execute(december).scalar_one() == was - 3


def test_a_month_whose_incidents_are_still_being_reported_is_not_told(told: Connection) -> None:
    """By the record nine of ten are reported within 100 days: what is newer waits, what is older does not."""
    i = t.incidents
    told.execute(i.update().values(reported_at=i.c.occurred_at + timedelta(days=100)))
    now = datetime.now(ZONE)
    ages = {"waits": timedelta(days=65), "due": timedelta(days=140)}
    for age in ages.values():
        some = sa.select(i.c.id).where(i.c.occurred_at < MONTHS[6]).order_by(i.c.id).limit(400)
        told.execute(
            i.update().where(i.c.id.in_(some)).values(occurred_at=now - age, reported_at=now - age / 9)
        )
    forget_months(told, told.execute(sa.select(public_months.c.month)).scalars())
    release_months(told)
    months = told.execute(sa.select(public_months.c.month)).scalars().all()
    assert (now - ages["due"]).date().replace(day=1) in months
    assert max(months) == (now - ages["due"]).date().replace(day=1)


def test_a_month_that_runs_is_not_told(told: Connection) -> None:
    i = t.incidents
    some = sa.select(i.c.id).limit(50)
    told.execute(i.update().where(i.c.id.in_(some)).values(occurred_at=sa.func.now()))
    release_months(told)
    newest = told.execute(sa.select(sa.func.max(public_months.c.month))).scalar_one()
    assert newest < datetime.now(ZONE).date().replace(day=1)


def test_over_http_the_public_has_the_same_and_no_more(stranger: TestClient, told: Connection) -> None:
    whole = stranger.get("/hotspots", params={"res": 9, "from": "2025-03-05", "to": "2025-03-06"}).json()
    march = answer(told, replace(public_view(told), start=MONTHS[2], end=MONTHS[3]), 9)
    assert {int(cell["cell"], 16): cell["count"] for cell in whole["cells"]} == march
    assert whole["incidents"] == sum(march.values())
    for finer in ("category=order.theft", "source=patrol", "colour=red"):
        assert stranger.get(f"/hotspots?{finer}").status_code == 401
    assert stranger.get("/city").json()["incidents"]["count"] == 6000


def test_the_database_holds_no_more_for_the_public(demo: str) -> None:
    service = db.engine_of_service(demo)
    with service.connect() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(t.incidents)).scalar_one() == 0
        assert conn.execute(sa.select(sa.func.min(public_counts.c.count))).scalar_one() >= MIN_INCIDENTS
        with pytest.raises(sa.exc.ProgrammingError, match="denied"):
            conn.execute(public_counts.delete())
    service.dispose()
