"""The long proof of redrawing: random steps, undo and redo over real and made maps, checked as they go.

`uv run python -m bench.prove_redraw --steps 25000 --realdata ../shared/data --out .data/prove` runs all maps;
every hundredth step is checked with integers and with shapely, every thousandth in PostGIS too (`--postgis`),
and the last map is written as GeoJSON for other tools. Seeded: the same command takes the same steps.
"""

import argparse
import collections
import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
import sqlalchemy as sa

from gis import coverage, db
from gis.errors import Problem
from gis.redraw import apply
from gis.settle import Coverage, Grid, is_grid
from gis.spare import cover
from tests.steps import random_step
from tests.towns import Grids, archipelago, chicago, outline, town, townships

EVERY = 100
TELL = 1000
IN_POSTGIS = """
WITH grids AS (SELECT id, geom FROM proven WHERE id < :whole),
     whole AS (SELECT geom FROM proven WHERE id = :whole)
SELECT (SELECT count(*) FROM proven WHERE NOT ST_IsValid(geom)),
       (SELECT coalesce(sum(ST_Area(ST_Intersection(a.geom, b.geom))), 0)
        FROM grids a JOIN grids b ON a.id < b.id AND a.geom && b.geom),
       (SELECT ST_Area(ST_SymDifference((SELECT ST_Union(geom) FROM grids), whole.geom)) FROM whole)
"""
KEPT = 40
"""Versions an editor can go back."""

Prints = dict[str, int]


def nested(
    grids: Grids, frame: shapely.Geometry | None = None, parent: dict[str, str] | None = None
) -> Coverage:
    """Grids under their parents, or else up to six by where they lie, and one city."""
    codes = sorted(grids, key=lambda code: grids[code].centroid.x)
    parts = min(6, len(codes) // 2 or 1)
    parent = parent or {code: f"P{i * parts // len(codes)}" for i, code in enumerate(codes)}
    rows = [Grid(c, 5, parent[c]) for c in codes] + [Grid(p, 4, "C") for p in sorted(set(parent.values()))]
    shapes = {c: coverage.to_degrees(g) for c, g in grids.items()}
    return cover([*rows, Grid("C", 1)], shapes, None if frame is None else coverage.to_degrees(frame))


def maps(realdata: Path | None) -> dict[str, Coverage]:
    """The coverages to prove on; those with real borders where the data is."""
    holes = archipelago(6, 0)
    frame = outline(holes)
    del holes["0102"]
    made = {"town": nested(town(8, 0)), "holes": nested(holes, frame)}
    if realdata is None:
        return made
    real = {
        "beats": chicago(realdata, "beat", "2012-12-19"),
        "wards": chicago(realdata, "ward", "2015-05-18"),
    }
    villages = townships(realdata)
    zhuzhou = nested(villages, parent={code: code[:6] for code in villages})
    return {name: nested(grids) for name, grids in real.items()} | {"zhuzhou": zhuzhou} | made


def check(cov: Coverage, first: int) -> float:
    """Assert exactness; the square units that the outline gained since its doubled area was `first`."""
    shapes = np.array(list(cov.shapes.values()), dtype=object)
    whole = cov.outline()
    area = int(coverage.doubled_areas(np.array([whole], dtype=object))[0])
    assert shapely.is_valid(shapes).all(), "invalid"
    assert not shapely.is_empty(shapes).any(), "emptied"
    assert int(coverage.doubled_areas(shapes).sum()) == area, "areas"
    union = shapely.union_all(shapes)
    assert whole.difference(union).area == 0, "gap"
    assert union.difference(whole).area == 0, "overhang"
    assert int(coverage.doubled_areas(np.array([union], dtype=object))[0]) == area, "union"
    return (area - first) / 2


def check_in_postgis(conn: sa.Connection, cov: Coverage) -> None:
    """Assert the same in PostGIS, on degrees as they are stored."""
    shapes = [coverage.to_degrees(shape) for shape in cov.shapes.values()]
    rows = [{"geom": shape.wkb_hex} for shape in [*shapes, coverage.to_degrees(cov.outline())]]
    conn.execute(sa.text("CREATE TEMP TABLE IF NOT EXISTS proven (id serial, geom geometry)"))
    conn.execute(sa.text("TRUNCATE proven RESTART IDENTITY"))
    conn.execute(sa.text("INSERT INTO proven (geom) VALUES (CAST(:geom AS geometry))"), rows)
    wrong, overlap, left = conn.execute(sa.text(IN_POSTGIS), {"whole": len(rows)}).one()
    assert (wrong, overlap, left) == (0, 0, 0), (
        f"PostGIS: {wrong} invalid, {overlap} overlap, {left} left over"
    )


@dataclass
class Editing:
    """A map under two editors: its versions as far as one can go back, and what was done."""

    versions: list[tuple[Coverage, Prints]]
    size: int
    rngs: tuple[np.random.Generator, ...]
    at: int = 0
    done: collections.Counter[str] = field(default_factory=collections.Counter)

    @property
    def now(self) -> Coverage:
        """The map as it stands."""
        return self.versions[self.at][0]

    def step(self, i: int) -> None:
        """One editor's turn: a random step, or some way back or forth."""
        rng = self.rngs[i % len(self.rngs)]
        if rng.random() < 0.15:
            self.at = int(np.clip(self.at + rng.integers(-4, 5), 0, len(self.versions) - 1))
            cov, was = self.versions[self.at]
            assert prints(cov) == was, "undo"
            self.done["undo or redo"] += 1
            return
        new, op = attempt(self.now, rng, self.size)
        self.done[op] += 1
        if new is not None:
            kept = self.versions[max(0, self.at - KEPT) : self.at + 1]
            self.versions = [*kept, (new, prints(new, *kept[-1]))]
            self.at = len(self.versions) - 1


def prove(name: str, start: Coverage, steps: int, seed: int, conn: sa.Connection | None) -> Coverage:
    """Take so many steps from a map, two editors in turn; stop at the first that is not exact."""
    rngs = tuple(np.random.default_rng([seed, k]) for k in (0, 1))
    edited = Editing([(start, prints(start))], max(len(start.shapes), 12), rngs)
    first = int(coverage.doubled_areas(np.array([start.outline()], dtype=object))[0])
    began, gained = time.monotonic(), 0.0
    for i in range(1, steps + 1):
        edited.step(i)
        if i % EVERY == 0:
            gained = check(edited.now, first)
        if i % TELL == 0:
            if conn is not None:
                check_in_postgis(conn, edited.now)
            said = (
                f"{name}: {i} steps, {time.monotonic() - began:.0f} s, {len(edited.now.shapes)} grids, exact"
            )
            print(said, file=sys.stderr, flush=True)
    drift = shapely.hausdorff_distance(start.outline(), edited.now.outline())
    print(
        f"{name}: {steps} steps in {time.monotonic() - began:.0f} s, exact; {len(edited.now.shapes)} grids;"
    )
    print(f"    outline moved {drift:.2f} units and gained {gained:.0f} square units;")
    print("   ", dict(sorted(edited.done.items())), flush=True)
    return edited.now


def attempt(cov: Coverage, rng: np.random.Generator, size: int) -> tuple[Coverage | None, str]:
    """A random step: the coverage after it, or None where it was refused, and its name."""
    step = random_step(cov, rng, size)
    try:
        return apply(cov, step), step["op"]
    except Problem:
        return None, "refused"


def prints(cov: Coverage, before: Coverage | None = None, known: Prints | None = None) -> Prints:
    """The hash of every shape's bytes; of those that are the very same objects as before, what is known."""
    same = before.shapes if before is not None else {}
    return {
        code: known[code] if known is not None and same.get(code) is shape else hash(shape.wkb)
        for code, shape in cov.shapes.items()
    }


def write(cov: Coverage, path: Path) -> None:
    """The lowest grids as GeoJSON with seven decimals, for tools of other make."""
    codes = [code for code in sorted(cov.shapes) if is_grid(code)]
    frame = gpd.GeoDataFrame({"code": codes}, geometry=[cov.geometry(code) for code in codes], crs=4326)
    path.write_text(json.dumps(json.loads(frame.to_json())), encoding="utf-8")


def main() -> None:
    """Run the maps asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=25_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--postgis", action="store_true", help="check every thousandth step in PostGIS too")
    parser.add_argument("maps", nargs="*")
    args = parser.parse_args()
    with db.work_engine().connect() if args.postgis else contextlib.nullcontext() as conn:
        for name, start in maps(args.realdata).items():
            if not args.maps or name in args.maps:
                end = prove(name, start, args.steps, args.seed, conn)
                if args.out:
                    args.out.mkdir(parents=True, exist_ok=True)
                    write(end, args.out / f"{name}.geojson")


if __name__ == "__main__":
    main()
