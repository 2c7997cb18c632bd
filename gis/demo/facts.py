"""The true part of the demo: names, codes and coarse county outlines of 株洲, from the committed file."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import shapely

from gis.demo.plane import to_plane

CITY_CODE = "430200"
CITY_NAME = "株洲市"
SEATS = {
    "430202": (113.162, 27.851),
    "430203": (113.147, 27.829),
    "430204": (113.136, 27.867),
    "430211": (113.118, 27.832),
    "430212": (113.142, 27.700),
    "430223": (113.345, 27.003),
    "430224": (113.545, 26.795),
    "430225": (113.775, 26.490),
    "430281": (113.495, 27.655),
}
"""Where a county's town lies, lon and lat to a few hundred metres: the middle of its densest quarter."""


@dataclass(frozen=True)
class Facts:
    """Counties (code, name, kind, shape in plane metres), townships and communities.

    Townships: code, name, kind, county, communities (their number), core (part of the county's town).
    Communities: code, name, kind, township.
    """

    counties: pd.DataFrame
    townships: pd.DataFrame
    communities: pd.DataFrame


def _kind(name: str) -> str:
    """Tell the kind of a unit from the last word of its name."""
    endings = {"街道": "subdistrict", "镇": "town", "乡": "township", "社区": "community", "村": "village"}
    endings |= {"区": "district", "县": "county", "市": "county-level city"}
    return next(kind for ending, kind in endings.items() if name.endswith(ending))


def _counties(raw: dict[str, dict[str, object]]) -> pd.DataFrame:
    shapes = [
        shapely.Polygon(to_plane(np.asarray(county["outline"], dtype=float) / 1e6)) for county in raw.values()
    ]
    names = [str(county["name"]) for county in raw.values()]
    kinds = [_kind(name) for name in names]
    return pd.DataFrame({"code": list(raw), "name": names, "kind": kinds, "shape": shapes})


def _townships(raw: dict[str, dict[str, object]]) -> pd.DataFrame:
    rows = [
        (code, str(town["name"]), code[:6], len(town["communities"]))  # type: ignore[arg-type]
        for code, town in raw.items()
    ]
    towns = pd.DataFrame(rows, columns=["code", "name", "county", "communities"])
    towns["kind"] = towns["name"].map(_kind)
    # The county's town is its 街道; where it has none, its first 镇.
    first = ~towns.duplicated("county") & ~towns["county"].isin(
        towns.loc[towns["kind"] == "subdistrict", "county"]
    )
    towns["core"] = (towns["kind"] == "subdistrict") | first
    return towns


def _communities(raw: dict[str, dict[str, object]]) -> pd.DataFrame:
    rows = [
        (code + tail, name, code)
        for code, town in raw.items()
        for tail, name in town["communities"].items()  # type: ignore[attr-defined]
    ]
    found = pd.DataFrame(rows, columns=["code", "name", "township"])
    found["kind"] = found["name"].map(_kind)
    return found


@cache
def load() -> Facts:
    """Read the committed file; 9 counties, 105 townships, 1,392 communities. Do not write into the answer."""
    raw = json.loads(files("gis.demo").joinpath("zhuzhou.json").read_text("utf-8"))
    return Facts(_counties(raw["counties"]), _townships(raw["townships"]), _communities(raw["townships"]))
