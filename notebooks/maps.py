"""The one owner of folium: maps for the notebooks that load nothing from outside the machine."""

import base64
from collections.abc import Sequence
from pathlib import Path

import folium
import geopandas as gpd
import pandas as pd
import shapely
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis import cells, grids, schema
from gis.city import extent
from gis.settings import ROOT
from layers.hotspots import Hotspots

LEAFLET = ROOT / "web" / "node_modules" / "leaflet" / "dist"
SIGNIFICANT, NOISE, CLUSTER = "#c2261f", "#9aa3ab", "#7a0177"


def _inline(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def blank(conn: Connection) -> folium.Map:
    """Return a map framed on the city, with no background service: Leaflet itself travels in the page."""
    west, south, east, north = extent(conn, grids.resolve(conn, grids.Wish()).scheme)
    made = folium.Map(tiles=None, control_scale=True)
    made.default_js = [("leaflet", _inline(LEAFLET / "leaflet.js", "text/javascript"))]
    made.default_css = [("leaflet_css", _inline(LEAFLET / "leaflet.css", "text/css"))]
    made.fit_bounds([[south, west], [north, east]])
    return made


def level(conn: Connection, rank: int) -> gpd.GeoDataFrame:
    """Return today's grids of one level as a GeoDataFrame (EPSG:4326): code, name, parent_code, geom."""
    asked = grids.resolve(conn, grids.Wish())
    g = schema.grids.c
    rows = sa.select(g.code, g.name, g.parent_code, g.area_m2, g.geom).where(
        grids.current(asked), g.level == rank
    )
    return gpd.read_postgis(rows.order_by(g.code), conn, geom_col="geom")


def add_grids(made: folium.Map, shapes: gpd.GeoDataFrame, colour: str = "#4a5a68") -> None:
    """Draw grids as outlines with their name on hover."""
    style = {"color": colour, "weight": 1, "fillOpacity": 0.03}
    tooltip = folium.GeoJsonTooltip(["code", "name"])
    folium.GeoJson(shapes, style_function=lambda _: style, tooltip=tooltip).add_to(made)


def add_hotspots(made: folium.Map, found: Hotspots) -> None:
    """Draw cells by count; only significant ones are red, the rest stays grey however dark it is."""
    table = frame(found)
    top = max(table["count"].max(), 1)

    def style(feature: dict[str, dict[str, float]]) -> dict[str, object]:
        told = feature["properties"]
        colour = SIGNIFICANT if told["significant"] else NOISE
        return {
            "color": colour,
            "weight": 1,
            "fillColor": colour,
            "fillOpacity": 0.15 + 0.6 * told["count"] / top,
        }

    columns = ["cell", "count", "expected", "ratio", "p", "significant", "trend"]
    folium.GeoJson(table, style_function=style, tooltip=folium.GeoJsonTooltip(columns)).add_to(made)


def frame(found: Hotspots) -> gpd.GeoDataFrame:
    """Return hotspots as a GeoDataFrame (EPSG:4326), most surprising first: the numbers of GET /hotspots."""
    return gpd.GeoDataFrame(
        {
            "cell": cells.to_text(found.cells),
            "count": found.count,
            "expected": found.expected,
            "ratio": found.tested.ratio,
            "p": found.tested.p,
            "significant": found.tested.significant,
            "trend": found.trend,
            "n": found.tested.n,
            "n_expected": found.tested.expected,
            "q": found.tested.q,
            "served": found.served,
            **found.extra,
        },
        geometry=cells.boundaries(found.cells), crs=4326,
    ).sort_values("p", ignore_index=True)  # fmt: skip


def clusters(found: Hotspots) -> pd.DataFrame:
    """Return the clusters of a scan, most striking first; the numbers of GET /hotspots?with=scan."""
    return pd.DataFrame(
        {
            "cells": [len(each.members) for each in found.clusters or ()],
            "observed": [int(each.n) for each in found.clusters or ()],
            "expected": [each.expected for each in found.clusters or ()],
            "relative_risk": [each.relative_risk for each in found.clusters or ()],
            "llr": [each.llr for each in found.clusters or ()],
            "p": [each.p for each in found.clusters or ()],
        }
    )


def add_clusters(made: folium.Map, found: Hotspots) -> None:
    """Outline each cluster."""
    outlines = cells.boundaries(found.cells)
    for each in found.clusters or ():
        shape = shapely.union_all(outlines[each.members])
        style = {"color": CLUSTER, "weight": 3, "fill": False}
        folium.GeoJson(shape, style_function=lambda _, style=style: style).add_to(made)


def add_point(made: folium.Map, lon: float, lat: float, label: str) -> None:
    """Mark one place (WGS-84 degrees)."""
    folium.CircleMarker([lat, lon], radius=7, color="#1f5fbf", fill=True, tooltip=label).add_to(made)


def add_faults(made: folium.Map, faults: Sequence[object], geojson: dict[str, object]) -> None:
    """Draw what is wrong with boundaries, in red."""
    if faults:
        style = {"color": SIGNIFICANT, "weight": 3, "fillOpacity": 0.5}
        folium.GeoJson(geojson, style_function=lambda _: style).add_to(made)
