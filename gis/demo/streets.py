"""Streets and country roads along the edges of the mesh, named and connected."""

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.random import Generator
from pyproj import Geod
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree

from gis.demo.density import URBAN
from gis.demo.mesh import Mesh
from gis.demo.plane import Bools, Floats, Ints, Shapes, nearest, to_degrees, to_plane
from gis.demo.shapes import MAIN_LINE, line_rank
from gis.demo.words import COUNTS, STEMS

CLASSES = np.array(["primary", "secondary", "tertiary", "residential", "unclassified"])
SPEED = {"primary": 60, "secondary": 50, "tertiary": 40, "residential": 30, "unclassified": 20}
NONE = 9
"""The rank of an edge that is no road; below it, ranks index CLASSES."""
LOCAL_KEPT = 0.82


def link(ends: Ints, cost: Floats, count: int, terminals: Ints, extra: float, rng: Generator) -> Bools:
    """Return which edges join neighbouring terminals: a shortest tree, and a share `extra` of other links.

    Each node belongs to its nearest terminal; the cheapest edge between two such regions gives their link
    (Mehlhorn 1988, the Steiner tree within twice the best).
    """
    graph = coo_array((cost, tuple(ends.T)), shape=(count, count)).tocsr()
    far, before, root = dijkstra(
        graph, directed=False, indices=terminals, min_only=True, return_predecessors=True
    )
    sides = np.sort(root[ends].astype(np.int64), axis=1)
    through = far[ends].sum(axis=1) + cost
    between = np.flatnonzero((sides[:, 0] != sides[:, 1]) & np.isfinite(through))
    between = between[np.lexsort((through[between], sides[between, 1], sides[between, 0]))]
    _, first = np.unique(sides[between], axis=0, return_index=True)
    links = between[first]
    keep = _tree(sides[links], through[links], count) | (rng.random(len(links)) < extra)
    return _walked(ends, before.astype(np.int64), links[keep], count)


def _tree(pairs: Ints, cost: Floats, count: int) -> Bools:
    """Return which pairs are in the minimum spanning tree."""
    tree = minimum_spanning_tree(coo_array((cost, tuple(pairs.T)), shape=(count, count))).tocoo()
    chosen = tree.row.astype(np.int64) * count + tree.col
    found: Bools = np.isin(pairs[:, 0] * count + pairs[:, 1], chosen)
    return found


def _walked(ends: Ints, before: Ints, links: Ints, count: int) -> Bools:
    """Mark the links and, from their ends, every step back to the terminals."""
    marked = np.zeros(len(ends), dtype=bool)
    marked[links] = True
    ways = np.sort(ends, axis=1)
    key = ways[:, 0] * count + ways[:, 1]
    order = np.argsort(key)
    seen, here = np.zeros(count, dtype=bool), np.unique(ends[links])
    while len(here):
        seen[here] = True
        here = here[before[here] >= 0]
        back = before[here]
        step = np.minimum(here, back) * count + np.maximum(here, back)
        marked[order[np.searchsorted(key[order], step)]] = True
        here = np.unique(back[~seen[back]])
    return marked


def bridges(mesh: Mesh, river: shapely.LineString, every: float = 2600.0) -> Ints:
    """Return pairs of nodes on opposite banks, one pair every so many metres of river."""
    wet = mesh.faces["water"].to_numpy()[mesh.sides]
    bank = np.unique(mesh.ends[wet[:, 0] != wet[:, 1]])
    points = mesh.nodes[bank]
    at = shapely.line_interpolate_point(river, np.arange(every / 2, shapely.length(river), every))
    ahead = shapely.line_interpolate_point(river, np.arange(every / 2, shapely.length(river), every) + 10)
    middle, course = shapely.get_coordinates(at), shapely.get_coordinates(ahead)
    course = course - middle
    left = np.column_stack([-course[:, 1], course[:, 0]]) / np.hypot(*course.T)[:, None]
    pairs = np.column_stack([bank[nearest(points, middle + side * 270.0 * left)] for side in (1, -1)])
    span = np.hypot(*(mesh.nodes[pairs[:, 0]] - mesh.nodes[pairs[:, 1]]).T)
    found: Ints = pairs[(span > 250) & (span < 1100)]
    return found


def _town_ranks(mesh: Mesh, rng: Generator) -> Ints:
    """Return the rank of every town edge; the bank of the river is an arterial there."""
    town = line_rank(mesh)
    rank = np.select([town == 1, town == 0], [1, 3], NONE)
    rank[(town == 0) & (rng.random(len(rank)) > LOCAL_KEPT)] = NONE
    wet = mesh.faces["water"].to_numpy()[mesh.sides]
    dense = (mesh.faces["density"].to_numpy()[mesh.sides] >= URBAN).any(axis=1)
    rank[(wet[:, 0] != wet[:, 1]) & dense] = 1
    return rank


def _rank_edges(
    mesh: Mesh, ends: Ints, usable: Bools, terminals: list[tuple[Ints, int, float]], rng: Generator
) -> Ints:
    """Rank all edges: the streets of towns, then links between ever smaller places."""
    extra = len(ends) - len(mesh.sides)
    rank = np.concatenate([_town_ranks(mesh, rng), np.ones(extra, dtype=np.int64)])
    rank[~usable] = NONE
    length = np.hypot(*(mesh.nodes[ends[:, 0]] - mesh.nodes[ends[:, 1]]).T)
    base = length * np.exp(rng.normal(0, 0.25, len(ends)))
    rows = np.flatnonzero(usable)
    for nodes, level, share in terminals:
        cost = base * np.where(rank <= 1, 0.5, np.where(rank < NONE, 0.65, 1.0))
        marked = link(ends[rows], cost[rows], len(mesh.nodes), np.unique(nodes), share, rng)
        rank[rows[marked]] = np.minimum(rank[rows[marked]], level)
    return _connected(ends, rank, len(mesh.nodes))


def _connected(ends: Ints, rank: Ints, count: int) -> Ints:
    """Drop the roads that do not hang together with the main network."""
    roads = rank < NONE
    graph = coo_array((np.ones(roads.sum()), tuple(ends[roads].T)), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    main = np.bincount(part[ends[roads, 0]]).argmax()
    return np.where(part[ends[:, 0]] == main, rank, NONE)


def _street_keys(mesh: Mesh, edges: pd.DataFrame) -> pd.DataFrame:
    """Tell which street each edge belongs to: (county, kind, a, b, step), equal along one street."""
    real = edges["edge"].to_numpy() >= 0
    sides = mesh.sides[np.maximum(edges["edge"].to_numpy(), 0)]
    a, b = (mesh.faces.iloc[sides[:, k]].reset_index(drop=True) for k in (0, 1))
    same = (a["patch"] == b["patch"]) & (a["patch"] >= 0)
    columns = a["i"] != b["i"]
    line = np.where(columns, np.maximum(a["i"], b["i"]), np.maximum(a["j"], b["j"]))
    town = (a["density"] >= URBAN) & (b["density"] >= URBAN)
    wet = a["water"] != b["water"]
    kind = np.select([~real, wet, same & town, town], ["bridge", "bank", "line", "ring"], "country")
    low, high = np.minimum(a["patch"], b["patch"]), np.maximum(a["patch"], b["patch"])
    step = np.select([kind == "line", kind == "bridge"], [line % MAIN_LINE, np.arange(len(edges))], 0)
    return pd.DataFrame({
        "county": np.maximum(a["county"], b["county"]),
        "kind": kind,
        "a": np.where(same, a["patch"] * 2 + columns, low),
        "b": np.where(kind == "line", line // MAIN_LINE, high),
        "step": step,
    })  # fmt: skip


def _stems(keys: pd.DataFrame, rng: Generator) -> pd.Series:
    """Give each street line of a county its own stem; beyond the stock, with a direction before it."""
    main = keys[["county", "kind", "a", "b"]].drop_duplicates()
    turn = main.groupby("county").cumcount().to_numpy()
    shift = rng.permutation(len(STEMS))
    place = (turn + main["county"].to_numpy() * 23) % len(STEMS)
    before = np.array(["", "东", "西", "南", "北", "新", "大", "小"])[(turn // len(STEMS)) % 8]
    stems = pd.Series(before, dtype=object) + np.array(STEMS, dtype=object)[shift[place]]
    return pd.Series(stems.to_numpy(), index=pd.MultiIndex.from_frame(main))


def name_streets(mesh: Mesh, edges: pd.DataFrame, rng: Generator) -> pd.Series:
    """Name each edge: 大道, 路 and numbered 街 or 巷 in town, county, township and village roads outside."""
    keys = _street_keys(mesh, edges)
    stem = keys[["county", "kind", "a", "b"]].merge(
        _stems(keys, rng).rename("stem").reset_index(), on=["county", "kind", "a", "b"], how="left"
    )["stem"]
    rank = edges["rank"].to_numpy()
    # A street keeps one name along its line: an avenue's, where most of it is one.
    line = [keys[c] for c in ("county", "kind", "a", "b", "step")]
    avenue = pd.Series(rank == 0).groupby(line).transform("mean") > 0.5
    small = pd.Series(np.array(["街", "巷"])[(keys["a"] + keys["b"]) % 2])
    numbered = stem + pd.Series(np.array(list(COUNTS))[keys["step"].clip(1, 9) - 1]) + small
    main = stem + np.where(avenue, "大道", "路")
    number = pd.Series((np.minimum(edges["u"], edges["v"]) // 37 % 900 + 100).astype(str))
    country = pd.Series(np.array(["G", "X", "Y", "C", "C"])[rank]) + number + "线"
    bank = np.where(keys["county"] == 3, "滨江西路", "滨江东路")
    return pd.Series(
        np.select(
            [keys["kind"] == "bridge", keys["kind"] == "bank", keys["kind"] == "country", keys["step"] > 0],
            [stem + "大桥", bank, country, numbered],
            main,
        )
    )


def make_streets(
    mesh: Mesh,
    river: shapely.LineString,
    inside: Bools,
    places: list[tuple[Ints, int, float]],
    rng: Generator,
) -> pd.DataFrame:
    """Lay the roads of the counties whose faces are `inside`: per edge (edge, rank, u, v, shape, name).

    `edge` is the mesh's edge, -1 for a bridge; `shape` a LineString in degrees; `rank` indexes CLASSES.
    `places`: groups of faces to link, largest first, each with its roads' rank and the share of extra links.
    """
    over = bridges(mesh, river)
    ends = np.concatenate([mesh.ends, over])
    water = mesh.faces["water"].to_numpy()[mesh.sides].all(axis=1)
    touched = inside[mesh.sides]
    usable = np.concatenate(
        [touched.any(axis=1) & ~water, np.full(len(over), inside[mesh.faces["county"] >= 0].all())]
    )
    corner = np.zeros(len(mesh.faces), dtype=np.int64)
    rows = np.flatnonzero(usable[: len(mesh.sides)])
    corner[mesh.sides[rows].ravel()] = np.repeat(mesh.ends[rows, 0], 2)
    rank = _rank_edges(mesh, ends, usable, [(corner[f], r, e) for f, r, e in places], rng)
    roads = np.flatnonzero(rank < NONE)
    spans = to_degrees(mesh.nodes[over].reshape(-1, 2)).reshape(-1, 2, 2)
    shapes = np.concatenate([mesh.lines, shapely.linestrings(spans)])
    edges = pd.DataFrame({
        "edge": np.where(roads < len(mesh.sides), roads, -1),
        "rank": rank[roads],
        "u": ends[roads, 0],
        "v": ends[roads, 1],
    })  # fmt: skip
    edges["shape"] = shapes[roads]
    edges["name"] = name_streets(mesh, edges, rng)
    return edges


def _chains(edges: pd.DataFrame, count: int) -> Ints:
    """Number the runs of edges between junctions: an edge continues where just two of one street meet."""
    node = np.concatenate([edges["u"], edges["v"]])
    row = np.concatenate([np.arange(len(edges))] * 2)
    degree = np.bincount(node, minlength=count)
    order = np.argsort(node, kind="stable")
    order = order[degree[node[order]] == 2].reshape(-1, 2)
    pair = row[order]
    name = edges["name"].to_numpy()
    rank = edges["rank"].to_numpy()
    country = is_country(name)
    alike = (name[pair[:, 0]] == name[pair[:, 1]]) | country[pair].all(axis=1)
    pair = pair[alike & (rank[pair[:, 0]] == rank[pair[:, 1]])]
    graph = coo_array((np.ones(len(pair)), tuple(pair.T)), shape=(len(edges),) * 2)
    run = np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)
    return _rings_apart(node, row, run)


def _rings_apart(node: Ints, row: Ints, run: Ints) -> Ints:
    """Number anew the edges of runs that close on themselves: their one junction would be lost in a ring."""
    touches = pd.DataFrame({"run": run[row], "node": node}).value_counts()
    tips = touches[touches == 1].index.get_level_values("run")
    ring = ~np.isin(run, tips)
    return np.where(ring, run.max() + 1 + np.arange(len(run)), run)


def is_country(names: Shapes) -> Bools:
    """Tell the numbered county, township and village roads from named streets."""
    found: Bools = np.isin(names.astype("U1"), list("GXYC"))
    return found


def smooth(lines: Shapes, rounds: int = 50) -> Shapes:
    """Take the corners off lines (degrees), leaving their ends: points are averaged with neighbours."""
    coords, line = shapely.get_coordinates(lines, return_index=True)
    coords = to_plane(coords)
    inner = np.flatnonzero((line[1:-1] == line[:-2]) & (line[1:-1] == line[2:])) + 1
    for _ in range(rounds):
        coords[inner] = (coords[inner - 1] + 2 * coords[inner] + coords[inner + 1]) / 4
    curves = shapely.simplify(shapely.linestrings(coords, indices=line), 1.5)
    coords, line = shapely.get_coordinates(curves, return_index=True)
    return np.asarray(shapely.linestrings(to_degrees(coords), indices=line), dtype=object)


def _lengths(lines: Shapes) -> Floats:
    """Return geodesic lengths in metres on WGS-84."""
    coords, line = shapely.get_coordinates(lines, return_index=True)
    same = line[:-1] == line[1:]
    _, _, metres = Geod(ellps="WGS84").inv(*coords[:-1][same].T, *coords[1:][same].T)
    found: Floats = np.bincount(line[:-1][same], metres, len(lines)).astype(np.float64)
    return found


def road_table(mesh: Mesh, streets: pd.DataFrame, rng: Generator) -> gpd.GeoDataFrame:
    """Return the roads between junctions with the canonical columns; u and v are node ids of the demo."""
    edges = streets.sort_values("name", kind="stable", ignore_index=True)
    chain = np.unique(_chains(edges, len(mesh.nodes)), return_inverse=True)[1]
    order = np.argsort(chain, kind="stable")
    runs = shapely.multilinestrings(edges["shape"].to_numpy()[order], indices=chain[order])
    lines = np.asarray(shapely.line_merge(runs), dtype=object)
    first = pd.Series(chain).drop_duplicates().index
    first = first[np.argsort(chain[first])]
    rank = edges["rank"].to_numpy()[first]
    places = to_degrees(mesh.nodes)
    u, v = (nearest(places, shapely.get_coordinates(shapely.get_point(lines, k))) for k in (0, -1))
    names = edges["name"].to_numpy()[first]
    lines = np.where(is_country(names), smooth(lines), lines)
    known, street = np.unique(names, return_inverse=True)
    oneway = (rng.random(len(known)) < 0.10)[street] & (rank == 3)
    speed = pd.Series(CLASSES[rank]).map(SPEED).astype("Int64").mask(rng.random(len(rank)) < 0.05)
    return gpd.GeoDataFrame(
        {
            "origin_id": [f"R{number:06d}" for number in range(len(lines))],
            "name": names,
            "class": CLASSES[rank],
            "oneway": oneway,
            "speed_kmh": speed,
            "length_m": np.round(_lengths(lines), 1),
            "u": u,
            "v": v,
        },
        geometry=lines,
        crs=4326,
    )
