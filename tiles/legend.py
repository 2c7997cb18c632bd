"""What the colours of a style mean, in Chinese and English, from the palette the style is drawn with."""

from collections.abc import Callable, Container
from typing import Any

from tiles.palettes import Palette

Item = dict[str, Any]
Sees = Callable[[Item], bool]
"""Whether what an item explains is to be seen by whoever looks, in this city."""


def everything(_: Item) -> bool:
    """See all items."""
    return True


def legend(palette: Palette, sources: Container[str], sees: Sees = everything) -> list[dict[str, Any]]:
    """Return the entries of every layer in `sources`: shape, colours and wording of each item that is seen.

    Entries of `hotspots` carry a `rank` and `significant`: the page adds the numbers a rank stands for,
    since those depend on the period. Those of `areas` carry their `kind`.
    """
    seen = [
        (layer, [item for item in items(palette) if sees(item)])
        for layer, items in ENTRIES
        if layer in sources
    ]
    return [{"layer": layer, "items": items} for layer, items in seen if items]


def _item(shape: str, zh: str, en: str, **look: Any) -> Item:
    return {"shape": shape, "label": {"zh": zh, "en": en}, **look}


def _cells(p: Palette) -> list[Item]:
    hot = [
        _item(
            "hex",
            "显著多于预期",
            "more than chance explains",
            fill=fill,
            edge=p.hot_edge,
            rank=rank,
            significant=True,
        )
        for rank, fill in enumerate(p.hot)
    ]
    quiet = [
        _item("hex", "仅为数量", "count only", fill=fill, edge=p.land, rank=rank, significant=False)
        for rank, fill in enumerate(p.counts)
    ]
    return hot + quiet


def _incidents(p: Palette) -> list[Item]:
    blue, yellow, red = p.grades
    return [
        _item("dot", "红色事件", "red incident", fill=red, edge=red),
        _item("dot", "黄色事件", "yellow incident", fill=yellow, edge=yellow),
        _item("dot", "蓝色事件", "blue incident", fill=blue, edge=blue),
        _item("dot", "已办结（空心）", "closed (hollow)", fill=p.halo, edge=blue),
        _item(
            "bubble",
            "多起：数量；圈色为其中最高等级",
            "several: how many; ring: the gravest",
            fill=p.halo,
            edge=red,
        ),
    ]


def _responders(p: Palette) -> list[Item]:
    return [
        _item("star", "力量：可派", "responder: available", fill=p.available),
        _item("star", "力量：处置中", "responder: busy", fill=p.busy),
        _item("star", "力量：停用", "responder: off", fill=p.off),
        _item("star", "多支：可派/全部", "several: available/all", fill=p.available),
    ]


def _cameras(p: Palette) -> list[Item]:
    return [
        _item("dot", "摄像机", "camera", fill=p.camera, edge=p.halo),
        _item("dot", "摄像机：离线或故障", "camera: offline or faulty", fill=p.off, edge=p.halo),
        _item("bubble", "多台摄像机：数量", "several cameras: how many", fill=p.camera, edge=p.halo),
    ]


def _places(p: Palette) -> list[Item]:
    return [_item("diamond", "重点场所（数字：多处）", "key place (a number: several)", fill=p.place)]


def _areas(p: Palette) -> list[Item]:
    return [
        _item("area", "水域", "water", fill=p.water, kind="water"),
        _item("area", "公园", "park", fill=p.park, kind="park"),
        _item("area", "林地", "wood", fill=p.wood, kind="wood"),
    ]


def _grids(p: Palette) -> list[Item]:
    return [
        _item("line", "网格边界", "grid border", fill=p.border),
        _item("line", "所选位置的归属", "grids of the chosen point", fill=p.focus),
    ]


ENTRIES = [
    ("hotspots", _cells),
    ("incidents", _incidents),
    ("responders", _responders),
    ("cameras", _cameras),
    ("places", _places),
    ("grids", _grids),
    ("areas", _areas),
]
"""Layers that need explaining, in the order they are read."""
