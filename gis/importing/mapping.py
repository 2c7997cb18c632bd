"""Mapping files: which columns of a source are which of our fields, and what their values mean (TOML)."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gis.city import Declared, either
from gis.crs import Datum
from gis.errors import BadInput, NotFound
from gis.importing.codes import seen
from gis.importing.kinds import KINDS, Kind
from gis.importing.source import ReadOptions
from gis.importing.times import known_format, known_zone

READY = Path(__file__).resolve().parent.parent / "mappings"
"""The mappings that come with the product."""

Scalar = str | int | float | bool
Value = Scalar | list[str] | list[float]
Columns = str | list[str]
Zone = Annotated[str, AfterValidator(known_zone)]
Format = Annotated[str, AfterValidator(known_format)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Level(_Strict):
    """One rank of a scheme of grids; a name in one language suffices, `name` stands for both."""

    level: int = Field(ge=0, le=99)
    name_zh: str = Field(min_length=1)
    name_en: str = Field(min_length=1)

    _either = model_validator(mode="before")(lambda values: either(values, "name"))


class Scheme(_Strict):
    """A network of grids, as a mapping or a demo city declares it; a title in one language suffices."""

    name: str = Field(min_length=1)
    title_zh: str = Field(min_length=1)
    title_en: str = Field(min_length=1)
    default: bool = False
    levels: list[Level] = Field(min_length=1)

    _either = model_validator(mode="before")(lambda values: either(values, "title"))


class Mapping(_Strict):
    """How the columns of one kind of source become our fields.

    `columns`: our field = its column, or several of which the first that exists is taken. `join`: several
    columns as one text. `split`: the sign or signs between the items of a list, beside `|`. `extract`: a
    regular expression whose first group is the value. `values`: their value = ours. `nulls`: texts that
    mean nothing. `defaults` fill what is missing, `constants` hold for every row. `formats` are tried
    before our own reading of times, `decimal` is the sign before a fraction. `lonlat`, `latlon`: one column
    of both, in that order. `layer`, `encoding`, `crs` and `header_row` tell how the file is to be read, as
    the options of the command do.
    `city`: whose data these are, from the file's `[city]`.
    """

    name: str = ""
    origin: str
    datum: Datum | None = None
    zone: Zone | None = None
    layer: str | None = None
    encoding: str | None = None
    crs: str | None = None
    header_row: int | None = None
    formats: list[Format] = []
    decimal: Literal[".", ","] = "."
    columns: dict[str, Columns] = {}
    join: dict[str, list[str]] = {}
    split: dict[str, str | list[str]] = {}
    extract: dict[str, str] = {}
    values: dict[str, dict[str, Value]] = {}
    nulls: list[str] = []
    constants: dict[str, Value] = {}
    defaults: dict[str, Value] = {}
    lon: Columns | None = None
    lat: Columns | None = None
    lonlat: Columns | None = None
    latlon: Columns | None = None
    geometry: Columns | None = None
    schemes: list[Scheme] = []
    city: Declared | None = None

    def found(self, field: str, columns: Iterable[str]) -> str | None:
        """Return the column of a source that holds `field`, None when it has none."""
        named = getattr(self, field) if field in _PLACE else self.columns.get(field)
        return pick(named, columns)

    def reading(self, said: ReadOptions) -> ReadOptions:
        """Return how a file is to be read: what is said with the command goes before what this says."""
        ours = {name: getattr(self, name) for name in vars(said)}
        return ReadOptions(**(ours | {name: one for name, one in vars(said).items() if one is not None}))

    def used(self, columns: Sequence[str]) -> set[str]:
        """Return the columns of a source that are taken for anything."""
        named = [*self.columns.values(), *(part for parts in self.join.values() for part in parts)]
        return {
            found
            for one in [*named, *(getattr(self, name) for name in _PLACE)]
            if (found := pick(one, columns))
        }

    def gives(self, field: str, columns: Sequence[str]) -> bool:
        """Tell whether every row gets a value for `field`, or may."""
        joined = field in self.join and any(pick(part, columns) for part in self.join[field])
        return bool(joined or field in self.constants or field in self.defaults or self.found(field, columns))


_PLACE = ("lon", "lat", "lonlat", "latlon", "geometry")


def heading(name: str) -> str:
    """Return a column's name as it is compared: width, case and blanks (`_` is one) folded, no remark behind.

    Signs that show nothing are none: nobody sees why `lon` and another `lon` should differ.
    """
    folded = unicodedata.normalize("NFKC", seen(name)).strip().lower()
    folded = re.sub(r"[\s_]+", "_", folded)
    return re.sub(r"_*\(.*?\)_*$", "", folded) or folded


def pick(named: Columns | None, columns: Iterable[str]) -> str | None:
    """Return the first of `named` that a source has: as written, else by its folded heading."""
    wanted = [] if named is None else [named] if isinstance(named, str) else named
    there = list(columns)
    folded = {heading(column): column for column in reversed(there)}
    hits = (name if name in there else folded.get(heading(name)) for name in wanted)
    return next((hit for hit in hits if hit is not None), None)


def plain(kind: str, origin: str = "import") -> Mapping:
    """Return the mapping of a source whose columns bear our own names."""
    fields = KINDS[kind].fields
    ids = {"origin_id": ["origin_id", "fid", "id"]}
    return Mapping(
        name="plain", origin=origin,
        columns={field.name: ids.get(field.name, field.name) for field in fields},
        lon="lon", lat="lat", geometry=["geometry", "geom", "wkt"],
        split={field.name: "|" for field in fields if field.name in ("headings", "skills")},
    )  # fmt: skip


def load(name: str, kind: str) -> Mapping:
    """Return the section of `kind` in a ready mapping, or in the TOML file at a path that is no such name.

    A file's is called by its name with its ending, or behind `./`, as no ready one is. Raises NotFound when
    there is neither, BadInput when the file is not a mapping of that kind.
    """
    if name == "plain":
        return plain(kind)
    if name in ready():
        sections, called = ready()[name], name
    elif (path := Path(name)).is_file():
        sections, called = _sections(path), path.name if path.suffix else f"./{path.name}"
    else:
        raise NotFound(f"no mapping {name!r}; ready ones are {', '.join(names())}, or give a file")
    if kind not in sections:
        raise BadInput("mapping", f"{name} maps {', '.join(sections)}, not {kind}")
    return sections[kind].model_copy(update={"name": called})


def names() -> list[str]:
    """Return the names of all ready mappings."""
    return sorted({"plain", *ready()})


@lru_cache
def ready() -> dict[str, dict[str, Mapping]]:
    """Return every mapping that comes with the product: name → kind → mapping."""
    return {path.stem: _sections(path) for path in sorted(READY.glob("*.toml"))}


def _sections(path: Path) -> dict[str, Mapping]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        shared = {"name": path.stem, "city": told.pop("city", None)}
        return {
            kind: _completed(_known_fields(Mapping(**shared, **section), kind), kind)
            for kind, section in told.items()
        }
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput("mapping", f"{path.name}: {error}") from error
    except (ValidationError, TypeError) as error:
        raise BadInput("mapping", f"{path.name}: {_first(error)}") from error


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "each section [kind] must be a table of settings"
    told = error.errors()[0]
    return f"{'.'.join(map(str, told['loc']))}: {told['msg']}"


def _known_fields(mapping: Mapping, kind: str) -> Mapping:
    """Raise BadInput when a section names a kind or a field that we do not have."""
    if kind not in KINDS:
        raise BadInput("mapping", f"[{kind}] is no kind; use one of {', '.join(KINDS)}")
    ours = {field.name for field in KINDS[kind].fields}
    parts = (mapping.columns, mapping.join, mapping.split, mapping.extract, mapping.values)
    used = {name for part in (*parts, mapping.constants, mapping.defaults) for name in part}
    if placed := sorted(used & set(_PLACE) - ours):
        lines = ", ".join(f'{name} = "…"' for name in placed)
        raise BadInput("mapping", f"a place stands in [{kind}] itself, not in a table below it: {lines}")
    if wrong := sorted(used - ours):
        raise BadInput(
            "mapping", f"[{kind}] names {', '.join(wrong)}; its fields are {', '.join(sorted(ours))}"
        )
    return mapping


def _completed(mapping: Mapping, kind: str) -> Mapping:
    """Return a mapping with our own names for what it says nothing of, where a row cannot do without.

    That is what is needed, and the place; of a mapping that names no column at all it is every field.
    """
    ours = plain(kind)
    placed = any(getattr(mapping, name) for name in _PLACE)
    bare = not (placed or mapping.columns or mapping.join)
    said = {*mapping.columns, *mapping.join, *mapping.constants}
    wanted = {field.name for field in KINDS[kind].fields if bare or field.required} - said
    added: dict[str, object] = {
        "columns": {name: ours.columns[name] for name in wanted} | mapping.columns,
        "split": {name: sign for name, sign in ours.split.items() if name in wanted} | mapping.split,
    }
    return mapping.model_copy(
        update=added | ({} if placed else {name: getattr(ours, name) for name in _PLACE})
    )


def missing(mapping: Mapping, kind: Kind, columns: Sequence[str], *, has_geometry: bool) -> list[str]:
    """Return what a source must have for this mapping and has not, by our names."""
    absent = [f.name for f in kind.fields if f.required and not mapping.gives(f.name, columns)]
    by_address = kind.name == "incidents" and mapping.gives("address", columns)
    placed = has_geometry or by_address or mapping.found("geometry", columns) is not None
    if kind.shape is None or placed:
        return absent
    if kind.shape in ("point", "any") and any(mapping.found(name, columns) for name in ("lonlat", "latlon")):
        return absent
    pair = [name for name in ("lon", "lat") if mapping.found(name, columns) is None]
    by_pair = kind.shape == "point" or (kind.shape == "any" and len(pair) < 2)
    return absent + (pair if by_pair else ["geometry"])


def choose(kind: Kind, columns: Sequence[str], *, has_geometry: bool) -> Mapping:
    """Return the mapping whose needed columns a source has: our own names first, else the one that uses most.

    Raises BadInput when none fits, or several that use as many columns.
    """
    candidates = [plain(kind.name)] + [of[kind.name] for of in ready().values() if kind.name in of]
    fits = [m for m in candidates if not missing(m, kind, columns, has_geometry=has_geometry)]
    if fits and fits[0] is candidates[0]:
        return fits[0]
    most = max((len(m.used(columns)) for m in fits), default=0)
    best = [m for m in fits if len(m.used(columns)) == most]
    if len(best) > 1:
        raise BadInput("mapping", f"several fit: {', '.join(m.name for m in best)}; choose with --mapping")
    if best:
        return best[0]
    lacks = ", ".join(missing(candidates[0], kind, columns, has_geometry=has_geometry))
    raise BadInput(
        "mapping",
        f"no ready mapping fits the columns {', '.join(columns)}{_perhaps_elsewhere(columns)}; "
        f"name them as ours (missing: {lacks}; safetymap import {kind.name} --fields tells all), or let "
        "--propose-mapping FILE write a mapping for you to correct, and give it with --mapping",
    )


def _perhaps_elsewhere(columns: Sequence[str]) -> str:
    """Return what is told of columns without a name, None of which a heading usually has."""
    unnamed = any(re.fullmatch(r"column \d+", name) for name in columns)
    return " (some have no name: if the headings stand in another row, say --header-row)" * unnamed
