"""Regions in front of an address: which ones are this city's, and whether two texts differ by them alone."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gis.addresses.normalise import fold
from gis.grids import Asked, current
from gis.network.street_names import by_commas
from gis.schema import grid_codes, grids

_LONGEST_FORM = 24
"""Characters of a region that is known by its form alone, at most; a name may have any number of them."""
_FIRST_HAN = "\u2e80"
_FEW = 20_000
"""Parts of texts by which grids are looked for; for more, all grids are."""
_FORM = re.compile(
    r"[\u4e00-\u9fff]{2,7}(?:省|自治[区州县]|特别行政区|市)|[\u4e00-\u9fff]{1,8}(?:县|街道|镇|乡|社区)"
    r"|[\u4e00-\u9fff]{0,8}[^小园校片库厂景新社]区|[\u4e00-\u9fff]{0,8}[^新]村"
)
"""What has the form of a Chinese region. 小区, 园区 and 新村 are estates."""
_NO_END = re.compile(r"场|政|民|村|镇|乡|区|县|市|社区|街道")
"""What does not follow a region: 人民市 is none in 人民市场, nor is 新区 in 新区村."""
_SUFFIX = re.compile(r"(?<=..)(?:特别行政区|自治[区州县]|省|市)$")
_LAST, _GOES_ON = "省市区县道镇乡村州", ("省", "市", "路", "巷", "弄", "街", "大")
"""Last signs of regions; what follows a short name that is part of a longer one or of a street: 株洲路."""
_UPPER = r"^((?:中国)?(?:[\u4e00-\u9fff]{2,8}?(?:省|自治区))?)(?:%s)"
"""Country and province in front of the city's name."""
_NUMBER = re.compile(r"[0-9号栋组附室单元层楼-]+")


@dataclass(frozen=True)
class Regions:
    """Folded names of regions: the city's own with those it lies in, and grids that a text may name.

    `open_above`: nothing is known of what the city lies in. `codes`: whole texts that are a grid's code;
    `former`: those that are one on other days alone.
    """

    city: frozenset[str]
    grids: frozenset[str]
    open_above: bool
    codes: frozenset[str] = frozenset()
    former: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self.city | self.grids


@dataclass(frozen=True)
class Aligned:
    """Two texts that are one thing; `extra`: regions before the one asked for that the stored does not name.

    `whole`: they are one letter by letter. `apart`: the stored one names another region in their place, so
    that it may be another's: 芙蓉社区卫生室, where 四三零社区卫生室 was asked for.
    """

    extra: tuple[str, ...]
    whole: bool = False
    apart: bool = False


def load(conn: Connection, texts: Iterable[str], asked: Asked | None) -> Regions:
    """Return the regions of the city that folded texts may name, grids of the record asked for."""
    texts = list(texts)
    names, open_above = _of_city(conn)
    if open_above and names:
        upper = re.compile(_UPPER % "|".join(map(re.escape, sorted(names))))
        names |= {found[1] for text in texts if (found := upper.match(text)) and found[1]}
    named = frozenset(_grids(conn, texts, asked))
    codes = frozenset(_codes(conn, texts, asked))
    former = frozenset(_ever(conn, texts, asked)) - codes
    return Regions(frozenset(names), named, open_above, codes, former)


# Each name as it is, and its parts by commas: Washington, DC.
_OF_CITY = sa.text(
    """
SELECT within = '{}' AS open_above, array_agg(fold_text(name)) AS names
FROM city, unnest(ARRAY[name_zh, name_en] || within) given,
  unnest(given || string_to_array(given, ',')) name
GROUP BY within
"""
)


def _of_city(conn: Connection) -> tuple[set[str], bool]:
    """Return names of the city and of what it lies in, whole and short, and whether the latter is unknown."""
    row = conn.execute(_OF_CITY).one_or_none()
    if row is None:
        return set(), True
    names = {name for name in row.names if name}
    return names | {_SUFFIX.sub("", name) for name in names}, row.open_above


def _grids(conn: Connection, texts: list[str], asked: Asked | None) -> list[str]:
    if asked is None:
        return []
    possible = set(islice(_distinct(texts), _FEW + 1))
    few = grids.c.name_key == sa.any_(sa.cast(list(possible), sa.ARRAY(sa.Text)))
    named = few if len(possible) <= _FEW else sa.true()
    return list(conn.execute(sa.select(grids.c.name_key).where(current(asked), named).distinct()).scalars())


code_key = sa.func.fold_text(grids.c.code)


def _codes(conn: Connection, texts: list[str], asked: Asked | None) -> list[str]:
    if asked is None:
        return []
    same = code_key == sa.any_(sa.cast(texts, sa.ARRAY(sa.Text)))
    return list(conn.execute(sa.select(code_key).where(current(asked), same).distinct()).scalars())


def _ever(conn: Connection, texts: list[str], asked: Asked | None) -> list[str]:
    if asked is None:
        return []
    key = sa.func.fold_text(grid_codes.c.code)
    same = (grid_codes.c.scheme == asked.scheme) & (key == sa.any_(sa.cast(texts, sa.ARRAY(sa.Text))))
    return list(conn.execute(sa.select(key).where(same).distinct()).scalars())


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    """Yield each part of texts once."""
    seen: set[str] = set()
    for part in chain.from_iterable(map(_parts, texts)):
        if part not in seen:
            seen.add(part)
            yield part


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a text that may be a region's name: none begins or ends within a word."""
    ends = [at for at in range(len(text) + 1) if not _splits_word(text, at)]
    for number, at in enumerate(ends):
        yield from (text[at:end] for end in ends[number + 1 :])


def _ends(text: str, at: int, names: Collection[str], *, by_form: bool) -> Iterator[int]:
    """Return where a region that begins at a place of a text may end."""
    for end in range(at + 1, len(text) + 1):
        formed = by_form and end - at <= _LONGEST_FORM and _has_form(text, at, end)
        if formed or (text[at:end] in names and _is_over(text, end)):
            yield end


def _is_over(text: str, end: int) -> bool:
    """Tell whether the name of a region may end at a place, and is none short for something longer there."""
    goes_on = text[end - 1] not in _LAST and text[end : end + 1] in _GOES_ON
    return not goes_on and not _splits_word(text, end)


def _splits_word(text: str, at: int) -> bool:
    """Tell whether a place in a folded text lies within a number or a word of letters."""
    one, two = text[at - 1 : at], text[at : at + 1]
    letters = one.isalpha() and two.isalpha() and max(one, two) < _FIRST_HAN
    return letters or (one.isdigit() and two.isdigit())


def _has_form(text: str, at: int, end: int) -> bool:
    return (
        text[end - 1] in _LAST
        and _FORM.fullmatch(text, at, end) is not None
        and _NO_END.match(text, end) is None
    )


def find(word: str, text: str) -> int:
    """Return where a folded text holds a word that begins no place within another; -1 where it does not."""
    at = text.find(word)
    while at > 0 and _splits_word(text, at):
        at = text.find(word, at + 1)
    return at


def cuts(text: str, names: Collection[str], *, by_form: bool = False) -> dict[int, tuple[str, ...]]:
    """Return the places of a text before which there are only regions, with the fewest of them.

    `by_form`: whatever has the form of a region counts, else names alone.
    """
    found: dict[int, tuple[str, ...]] = {0: ()}
    for at in range(len(text)):
        if at in found:
            for end in _ends(text, at, names, by_form=by_form):
                found.setdefault(end + (text[end : end + 1] == " "), (*found[at], text[at:end]))
    return found


def without(key: str, names: Collection[str]) -> list[str]:
    """Return what is left of a folded text of several words without regions in front of it, or behind it."""
    heads = [key[at:] for at in cuts(key, names) if 0 < at < len(key)]
    ends = (at for at, sign in enumerate(key) if sign == " ")
    return [*heads, *(key[:at] for at in ends if is_whole(key[at + 1 :], names))]


_POSTCODE = (
    r"(?:[a-z]{1,2}-)?(?:[0-9]{4,6}(?:-[0-9]{3,4})?|[0-9]{2,3}-[0-9]{3,4}|[0-9]{3} [0-9]{2}"
    r"|[0-9]{4}[a-z]{2}|[a-z]{1,2}[0-9][a-z0-9]? ?[0-9][a-z]{2}|[a-z][0-9][a-z] ?[0-9][a-z][0-9]"
    r"|[a-z][0-9][0-9w] ?[a-z0-9]{4})"
)
"""412000, 02139-1234, D-10115, 00-950, 110 00, 1012AB, SW1A 2AA, K1A 0B1, D02 X285."""
_APART = r"(?:[a-z]{1,2}-)?[0-9]{4} [a-z]{2}"
"""1012 AB, which may be 1012 of a town whose name begins with two letters: 5000 La Paz."""
_SAID = r"(?:(?:c\.? ?p|p\.?l\.?z|n\.?p\.?a|c\.?a\.?p|zip|pin)\b\.?:?\s*)?"
_POSTCODES = [
    re.compile(rf"^\s*{_SAID}{code}(?![\w-])|(?<![\w-]){_SAID}{code}\s*$", re.IGNORECASE)
    for code in (_POSTCODE, _APART)
]


def postcode(part: str) -> str:
    """Return the longest postcode that a part begins or ends with, without blanks; "" where there is none."""
    found = [one[0] for form in _POSTCODES if (one := form.search(part))]
    said = max(found, key=len, default="")
    bare = re.sub(r"[\s-]", "", re.sub(rf"^\s*{_SAID}", "", said, flags=re.IGNORECASE)).upper()
    return re.sub(r"^[A-Z]{1,2}(?=\d{4,5}(?:[A-Z]{2})?$)", "", bare)


def spellings(part: str) -> list[str]:
    """Return what stands behind a comma as it is, and without the postcode that it may begin or end with."""
    return [part.strip(), *(form.sub("", part).strip() for form in _POSTCODES)]


def settled(parts: Iterable[str], keys: Mapping[str, str], known: Regions) -> dict[str, str]:
    """Return the folded parts behind an address: without their postcodes, unless a grid has that code.

    `keys`: all spellings of each, folded. What is a postcode alone is left out.
    """
    found = {}
    for part in parts:
        whole, bare, *more = (keys.get(one, "") for one in spellings(part))
        codes = known.codes | known.former
        named = (key for key in (whole, bare, *more) if key in codes or is_whole(key, known.names))
        alone = "" in spellings(part)
        if key := next(named, "" if alone else bare):
            found[part] = key
    return found


def is_whole(key: str, names: Collection[str]) -> bool:
    """Tell whether a folded text is regions and nothing else."""
    return bool(key) and len(key) in cuts(key, names)


_BRACKETED = re.compile(r"^(.*[^\s(（])\s*[(（]([^()（）]+)[)）]\s*$")
"""What stands in brackets at the end of a text."""


def behind(conn: Connection, texts: Sequence[str], asked: Asked | None) -> list[str]:
    """Return addresses with the regions that stand in front, before a comma, moved behind.

    `Wawer, Łódzka 148` is `Łódzka 148, Wawer`. A number alone is none: `Hauptstraße, 12`.
    """
    plain = [_BRACKETED.sub(r"\1, \2", text.replace("號", "号")) for text in texts]
    split = [re.split(r"\s*[,，]\s*", text) for text in plain]
    every = sorted({one for parts in split if len(parts) > 1 for part in parts for one in spellings(part)})
    if not every:
        return plain
    keys = dict(zip(every, fold(conn, *every), strict=True))
    known = load(conn, keys.values(), asked)
    return [_moved(text, parts, keys, known) for text, parts in zip(plain, split, strict=True)]


def _moved(text: str, parts: list[str], keys: Mapping[str, str], known: Regions) -> str:
    named = [
        bool(key := settled([part], keys, known).get(part, ""))
        and (key in known.codes or is_whole(key, known.names))
        if len(parts) > 1
        else False
        for part in parts
    ]
    front = len(list(takewhile(bool, named)))
    rest = parts[front:]
    if not front or not rest or not re.search(r"[^\W\d].*\d|\d.*[^\W\d]{2}", by_commas(", ".join(rest))[0]):
        return text
    return ", ".join([*rest, *parts[:front]])


def strangers(parts: Sequence[str], known: Regions) -> list[str]:
    """Return the folded parts behind an address that are no regions of the city.

    Where nothing is known of what the city lies in, all pass behind the city's own name.
    """
    if known.open_above and parts and max(cuts(parts[0], known.city)) > 0:
        return []
    return [part for part in parts if part not in known.codes and not is_whole(part, known.names)]


def grids_in(parts: Iterable[str], known: Regions) -> frozenset[str]:
    """Return the grids that folded parts of a text name or are the code of, which are nothing else."""
    parts = list(parts)
    named = {name for part in parts for name in cuts(part, known.names).get(len(part), ())}
    return frozenset(((named & known.grids) | (known.codes & {*parts})) - known.city)


def align(asked: str, stored: str, names: Collection[str]) -> Aligned | None:
    """Return how two texts are one but for regions before either; None where they are not.

    Regions before the stored text are known by their form, as it is the city's own; those before the one
    asked for must be among `names`, or stand before the stored one too.
    """
    if asked == stored:
        return Aligned((), whole=True)
    common = _common_end(asked, stored)
    if not common:
        return None
    behind = cuts(stored, names, by_form=True)
    own = {stored[at:end] for at in behind for end in _ends(stored, at, names, by_form=True)}
    fronts = cuts(asked, {*names, *own})
    for length in range(common, 0, -1):
        front = fronts.get(len(asked) - length)
        if (
            front is not None
            and len(stored) - length in behind
            and _tells(asked[-length:], stored, front, own)
        ):
            extra = tuple(region for region in front if region not in own)
            unnamed = [region for region in behind[len(stored) - length] if region not in front]
            return Aligned(extra, apart=_apart(extra, unnamed, asked[-length:]))
    return None


_LOW = ("社区", "街道", "村", "镇", "乡")
"""Regions that tell one market or school from the next."""


def _apart(extra: Sequence[str], unnamed: Sequence[str], rest: str) -> bool:
    """Tell whether regions that one side alone names differ: of one kind, or all that tells a bare name."""
    kinds = {_kind(region) for region in extra}
    same = any(_kind(region) in kinds for region in unnamed)
    bare = not any(sign.isdigit() for sign in rest)
    return bool(extra) and (same or (bare and any(region.endswith(_LOW) for region in unnamed)))


def _kind(region: str) -> str:
    return next((low for low in _LOW if region.endswith(low)), region[-1:])


def _common_end(one: str, other: str) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def is_number(text: str) -> bool:
    """Tell whether a folded text is a house or building without a street or a name."""
    return _NUMBER.fullmatch(text) is not None


def _tells(rest: str, stored: str, front: tuple[str, ...], own: Collection[str]) -> bool:
    """Tell whether what two texts have in common names something: a bare number needs a region they share."""
    return rest == stored or not is_number(rest) or any(region in own for region in front)


NEAR = 0.0005
"""Degrees, some 50 m, by which a place that was computed may stand beside its region's border."""


def around(
    conn: Connection, places: Sequence[str], names: Collection[str], asked: Asked | None, reach: float = 0.0
) -> set[tuple[int, str]]:
    """Return which of the grids hold or touch which of the places (EWKB), by the places' numbers.

    `names`: folded names or codes of grids. `reach`: degrees within which a grid counts as touched.
    """
    if asked is None or not names:
        return set()
    given = sa.func.unnest(sa.cast(list(places), sa.ARRAY(sa.Text)))
    at = given.table_valued("place", with_ordinality="n").render_derived()
    some = sa.cast(list(names), sa.ARRAY(sa.Text))
    named = sa.or_(grids.c.name_key == sa.any_(some), code_key == sa.any_(some))
    place = sa.func.ST_GeomFromEWKB(sa.func.decode(at.c.place, "hex"))
    met = sa.func.ST_DWithin(grids.c.geom, place, reach)
    rows = sa.select(at.c.n, grids.c.name_key, code_key.label("code")).select_from(at.join(grids, met))
    found = conn.execute(rows.where(current(asked), named)).all()
    return {(row.n - 1, key) for row in found for key in (row.name_key, row.code)}
