"""Codes of grids and devices: layouts by their standards, read, checked, written and continued.

A city chooses its layout for grids by name or by widths ("6+3+3+3"). Codes name things for ever: none is
reused.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from gis.errors import BadInput

_PROVINCES = "11-15 21-23 31-37 41-46 50-54 61-66 71-71 81-82"
PROVINCES = frozenset(
    str(code) for span in _PROVINCES.split() for code in range(int(span[:2]), int(span[3:]) + 1)
)
"""First two digits of GB/T 2260 codes; 66 is the statistics bureau's for the Xinjiang corps."""

Check = Callable[[str], str | None]
"""Says what is wrong with a part, or nothing."""


@dataclass(frozen=True)
class Part:
    """One field of a code: name, number of digits, and what its value must be."""

    name: str
    width: int
    check: Check | None = None


@dataclass(frozen=True)
class Layout:
    """A code's fields in order, and the standard they are from."""

    name: str
    title_zh: str
    title_en: str
    source: str
    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Digits of a whole code."""
        return sum(part.width for part in self.parts)


def county(value: str) -> str | None:
    """GB/T 2260: two digits each for province, prefecture and county."""
    return None if value[:2] in PROVINCES else f"no province has the code {value[:2]}"


def township(value: str) -> str | None:
    """GB/T 10114-2003: 001-099 streets, 100-199 towns, 200-399 townships; statistics: 400-599 the like."""
    return None if int(value) <= 599 else f"{value} is no township's code (001-599; 000 for the county)"


def village(value: str) -> str | None:
    """Statistics, 2009: 001-199 residents' committees, 200-399 villagers' committees, 400-599 the like."""
    return None if int(value) <= 599 else f"{value} is no village's code (001-599; 000 for the township)"


def community(value: str) -> str | None:
    """CJ/T 349-2010, 5.6: the community's own code, or from 601 where several were merged."""
    return None if int(value) else "000 is no community"


def managed(value: str) -> str | None:
    """CJ/T 349-2010, 5.3: the code of what is managed (CJ/T 348-2010), whose last digits may be zero."""
    return None if int(value) else "000000 names nothing managed"


def sequence(value: str) -> str | None:
    """Numbers count from one."""
    return None if int(value) else "numbers begin at 1"


def centre(value: str) -> str | None:
    """GB/T 28181-2016, D.1: a GB/T 2260 code and two digits of the unit, 00 above it."""
    return county(value[:6])


def device(value: str) -> str | None:
    """GB/T 28181-2016, D.1: 111-199 devices, 200-299 platforms, 300-499 users, 500-599 other servers."""
    return None if 111 <= int(value) <= 599 else f"{value} is no type of device, platform or user (111-599)"


def network(value: str) -> str | None:
    """GB/T 28181-2016, D.1: 0-4 video networks, 5 police, 6 government, 7 internet, 8 other sources."""
    return None if int(value) <= 8 else f"{value} is reserved; networks are 0-8"


AREA = (Part("county", 6, county), Part("township", 3, township))

LAYOUTS: list[Layout] = [
    Layout(
        "statistical",
        "统计用区划代码",
        "statistical code of a village",
        "统计用区划代码和城乡划分代码编制规则 (国统字〔2009〕91号); GB/T 2260; GB/T 10114-2003",
        (*AREA, Part("village", 3, village)),
    ),
    Layout(
        "grid",
        "网格编码",
        "unit grid within a village",
        "statistical code and three digits, as cities' rules have it (e.g. DB6101/T 3185-2024, 5.3)",
        (*AREA, Part("village", 3, village), Part("number", 3, sequence)),
    ),
    Layout(
        "cjt349",
        "数字社区网格编码",
        "grid of digital community management",
        "CJ/T 349-2010, 5: object, county, township, community, number (00 where a community is not divided)",
        (Part("object", 6, managed), *AREA, Part("community", 3, community), Part("number", 2)),
    ),
    Layout(
        "gb28181",
        "视频联网设备编码",
        "device in a video network",
        "GB/T 28181-2016, appendix D.1, rule A: centre, industry, type, network, number",
        (
            Part("centre", 8, centre),
            Part("industry", 2),
            Part("type", 3, device),
            Part("network", 1, network),
            Part("number", 6),
        ),
    ),
]
"""The layouts known by name."""


def layout(setting: str) -> Layout:
    """The layout a setting names: one of `LAYOUTS`, or widths such as "6+3+3+3"; else BadInput."""
    for known in LAYOUTS:
        if known.name == setting:
            return known
    if not re.fullmatch(r"[1-9](\+[1-9])*", setting):
        names = ", ".join(known.name for known in LAYOUTS)
        raise BadInput("layout", f"{setting!r} is none of {names}, nor widths such as 6+3+3+3")
    widths = [int(width) for width in setting.split("+")]
    parts = tuple(Part(f"part{i}", width) for i, width in enumerate(widths, start=1))
    return Layout(setting, f"{setting} 编码", f"code of {setting} digits", "the city's own", parts)


def problem(of: Layout, code: str) -> str | None:
    """What is wrong with a code, in words; None for a good one."""
    if not re.fullmatch(r"[0-9]+", code):
        return f"{code!r} has other signs than the digits 0-9"
    if len(code) != of.width:
        return f"{code} has {len(code)} digits, not {of.width}"
    parts = _cut(of, code)
    said = ((part, part.check(parts[part.name])) for part in of.parts if part.check)
    return next((f"{part.name} of {code}: {what}" for part, what in said if what), None)


def parse(of: Layout, code: str) -> dict[str, str]:
    """A code's parts by name; raises BadInput saying which part is wrong."""
    wrong = problem(of, code)
    if wrong:
        raise BadInput("code", wrong)
    return _cut(of, code)


def build(of: Layout, parts: Mapping[str, str | int]) -> str:
    """The code of its parts, filled up with zeros; raises BadInput for one that is missing or wrong."""
    missing = [part.name for part in of.parts if part.name not in parts]
    if missing:
        raise BadInput("code", f"part {missing[0]} is missing")
    code = "".join(str(parts[part.name]).zfill(part.width) for part in of.parts)
    wrong = problem(of, code)
    if wrong:
        raise BadInput("code", wrong)
    return code


def following(of: Layout, under: str, used: Collection[str]) -> str:
    """The next code whose first digits are `under`: one more than the highest ever used there.

    `used` must hold retired codes too. Raises BadInput where the last part is full.
    """
    width = of.width - len(under)
    if not 0 < width <= of.parts[-1].width:
        raise BadInput("code", f"{under} must leave the last part of {of.title_en} free")
    highest = max((int(code[len(under) :]) for code in used if code.startswith(under)), default=0)
    if highest + 1 >= 10**width:
        raise BadInput("code", f"no code is left under {under}")
    return under + str(highest + 1).zfill(width)


def _cut(of: Layout, code: str) -> dict[str, str]:
    parts, at = {}, 0
    for part in of.parts:
        parts[part.name] = code[at : at + part.width]
        at += part.width
    return parts
