"""The ground of the demo: the mesh, who owns each face at each level, and the table of grids."""

from dataclasses import dataclass
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from gis.demo.density import Density, make_density
from gis.demo.facts import CITY_CODE, CITY_NAME, Facts, load
from gis.demo.lines import roughen
from gis.demo.mesh import Mesh, areas, make_mesh
from gis.demo.plane import Bools, Ints, Shapes
from gis.demo.shapes import Growth, grow_communities, grow_townships, grow_units, make_growth, recentre
from gis.demo.sites import Zones, make_sites, river_line
from gis.demo.words import COUNTS

SCHEME = "safety"


@dataclass(frozen=True)
class Ground:
    """Faces with their owners.

    `township`, `community` (rows of the facts) and `unit` per face, -1 outside the populated `counties`
    (numbers). `units`: one row per unit grid (code, name, community, township, county).
    """

    facts: Facts
    density: Density
    river: shapely.LineString
    mesh: Mesh
    growth: Growth
    counties: Ints
    township: Ints
    community: Ints
    unit: Ints
    units: pd.DataFrame

    @property
    def inside(self) -> Bools:
        """Faces of the populated counties."""
        return self.unit >= 0

    def hearts(self, label: Ints) -> tuple[Ints, Ints]:
        """Return the labels present and each one's most central face."""
        present, dense = compact(label)
        return present, recentre(self.growth, dense, np.zeros(len(present), dtype=np.int64))


def compact(label: Ints) -> tuple[Ints, Ints]:
    """Return the labels present, and the labelling renumbered to their positions (-1 stays)."""
    present = np.unique(label[label >= 0])
    return present, np.where(label >= 0, np.searchsorted(present, label), -1)


def lay_ground(populated: list[str], seed: int) -> Ground:
    """Lay the ground: all nine counties, with townships, communities and unit grids in the populated ones."""
    facts = load()
    density = make_density(facts, seed)
    rng = np.random.default_rng([seed, 2])
    outlines = roughen(facts.counties["shape"].to_numpy(), 0.12, rng)
    counties = np.flatnonzero(facts.counties["code"].isin(populated))
    zones = Zones(outlines, river_line(facts), density, counties)
    sites = make_sites(zones, rng)
    mesh = make_mesh(sites, rng)
    growth = make_growth(mesh, rng)
    township = grow_townships(growth, mesh, facts, density, counties)
    community = grow_communities(growth, facts, township, rng)
    unit, owner = grow_units(growth, community, rng)
    return Ground(
        facts, density, zones.river, mesh, growth, counties, township, community, unit, _units(facts, owner)
    )


def _ordinal(number: int) -> str:
    return COUNTS[number - 1]


def _units(facts: Facts, owner: Ints) -> pd.DataFrame:
    """Name and code the unit grids: 文化路社区第一网格, the community's twelve digits and three more."""
    own = facts.communities.iloc[owner].reset_index(drop=True)
    turn = pd.Series(owner).groupby(owner).cumcount() + 1
    return pd.DataFrame({
        "code": own["code"] + turn.astype(str).str.zfill(3),
        "name": own["name"] + "第" + turn.map(_ordinal) + "网格",
        "community": owner,
        "township": own["township"],
        "county": own["township"].str[:6],
    })  # fmt: skip


def _level(table: pd.DataFrame, level: int, parent: pd.Series, shapes: Shapes) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "code": table["code"],
            "level": level,
            "parent_code": parent,
            "name": table["name"],
            "kind": table["kind"],
        }
    ).assign(geometry=shapes)


def grid_table(ground: Ground, until: date) -> gpd.GeoDataFrame:
    """Return the grids of all levels: each level is a coverage, each parent the union of its children."""
    facts, mesh = ground.facts, ground.mesh
    county = mesh.faces["county"].to_numpy()
    city = pd.DataFrame({"code": [CITY_CODE], "name": [CITY_NAME], "kind": ["city"]})
    levels = [
        _level(city, 1, pd.Series([None], dtype=object), areas(mesh, np.where(county >= 0, 0, -1), 1)),
        _level(
            facts.counties,
            2,
            pd.Series(CITY_CODE, facts.counties.index),
            areas(mesh, county, len(facts.counties)),
        ),
    ]
    for number, (table, label, parent) in enumerate(
        ((facts.townships, ground.township, "county"), (facts.communities, ground.community, "township"))
    ):
        present, dense = compact(label)
        rows = table.iloc[present]
        levels.append(_level(rows, 3 + number, rows[parent], areas(mesh, dense, len(present))))
    units = ground.units.assign(kind="unit")
    above = facts.communities["code"].iloc[units["community"]].reset_index(drop=True)
    levels.append(_level(units, 5, above, areas(mesh, ground.unit, len(units))))
    table = pd.concat(levels, ignore_index=True)
    table.insert(0, "scheme", SCHEME)
    table["valid_from"], table["valid_to"] = date(until.year - 2, 1, 1), None
    columns = [*[name for name in table.columns if name != "geometry"], "geometry"]
    return gpd.GeoDataFrame(table[columns], geometry="geometry", crs=4326)
