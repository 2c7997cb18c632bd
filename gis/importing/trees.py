"""Hierarchies are trees: parents that are not there, not one level above, or above themselves."""

from collections.abc import Mapping

import shapely

from gis import coverage
from gis.case import Fault
from gis.importing.timeline import Version

_MESSAGES = {
    "no_parent": ("{codes} 的上级网格不存在", "the parent of {codes} does not exist"),
    "own_parent": ("{codes} 以自己为上级", "{codes} names itself as its parent"),
    "parent_level": (
        "{codes} 的上级不在紧邻的上一层级", "the parent of {codes} is not exactly one level above",
    ),
}  # fmt: skip
"""What is said of each way in which a hierarchy is no tree."""


_DAYS_ZH = "上级 {parent} 自 {begin} 起有效,{code} 更早:请在文件或映射的 constants 中给出 valid_from"
_DAYS_EN = (
    "{code} holds since {since}, its parent {parent} from {begin} on only: give it that valid_from, "
    "in the file or as one of the mapping's constants"
)


def rootless(parents: Mapping[str, str | None]) -> dict[str, str]:
    """Return each member whose way up ends at no root: `unknown` where it leaves the table, else `circle`."""
    ends: dict[str, str] = {}
    for start in parents:
        way: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in ends and at not in way:
            way[at] = None
            at = parents.get(at, at)
        told = "root" if at is None else ends.get(at, "circle" if at in parents else "unknown")
        ends.update(dict.fromkeys(way, told))
    return {code: ends[code] for code in parents if ends[code] != "root"}


def broken(after: Mapping[str, list[Version]]) -> list[Fault]:
    """Return the faults of a scheme's hierarchy on all its days, by the codes at fault.

    A parent is one level above on every day on which both are in force; days on which it is not in force are
    told by the checks of those days.
    """
    return [
        _fault(kind, code, version)
        for code, versions in sorted(after.items())
        for version in versions
        if (kind := _wrong(code, version, after))
    ]


def without_parent(after: Mapping[str, list[Version]]) -> dict[str, tuple[str, str]]:
    """Return why grids have no parent on some days though it is known: it holds on others (zh, en)."""
    found = {}
    for code, versions in sorted(after.items()):
        for version in versions:
            parents = after.get(version.content[1] or "", [])
            begin = min((parent.start for parent in parents), default=version.start)
            if version.start < begin:
                words = {"code": code, "parent": version.content[1], "begin": begin}
                words["since"] = version.first or "ever"
                found[code] = (_DAYS_ZH.format(**words), _DAYS_EN.format(**words))
    return found


def _wrong(code: str, version: Version, after: Mapping[str, list[Version]]) -> str | None:
    level, parent = version.content[:2]
    if parent is None:
        return None
    if parent == code:
        return "own_parent"
    if parent not in after:
        return "no_parent"
    return None if all(_is_above(other, version, level) for other in after[parent]) else "parent_level"


def _is_above(parent: Version, child: Version, level: int) -> bool:
    apart = parent.end <= child.start or child.end <= parent.start
    return apart or bool(parent.content[0] == level - 1)


def _fault(kind: str, code: str, version: Version) -> Fault:
    shape = shapely.from_wkb(version.content[4])
    zh, en = _MESSAGES[kind]
    codes = f"{code} ({version.content[1]})"
    return Fault(
        kind, "error", (code,), shape, float(coverage.areas_m2(shape)[0]),
        zh.format(codes=codes), en.format(codes=codes),
    )  # fmt: skip
