"""A source of rows: any file or frame as chunks of Arrow columns, with row numbers and geometry apart."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gis.errors import BadInput

CHUNK = 50_000
"""Rows worked on at a time: bounds memory, and is large enough for vectors."""

Ints = npt.NDArray[np.int64]
Geoms = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Broken:
    """A row that could not be cut into columns: its number, what is wrong, and its text."""

    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """Rows of a source: 1-based row numbers, columns as they came, and geometry where the format has it.

    `seen`: by column, what is seen of numbers that a workbook shows otherwise (`00042`). `natures`: by
    column, which cells are neither text nor plain number (`date`, `boolean`; `number`: shown as what?).
    """

    rows: Ints
    table: pa.Table
    geometry: Geoms | None = None
    broken: tuple[Broken, ...] = ()
    seen: dict[str, pa.Array] = field(default_factory=dict)
    natures: dict[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What an operator says of a file: its layer or sheet, its encoding, its coordinate system, its heading.

    `crs` is anything that PROJ knows (`EPSG:4547`); `header_row` counts lines, or a sheet's rows, from 1.
    """

    layer: str | None = None
    encoding: str | None = None
    crs: str | None = None
    header_row: int | None = None


@dataclass(frozen=True)
class Source:
    """Something to import: `chunks()` may be called again, and gives the same rows each time.

    `crs` is that of the geometry (None: WGS-84 degrees or another datum's, as the import says);
    `total` counts rows where the format knows it; `lines` tells that row n lies on line n + `above`.
    `notes` say what was decided about the file: titles skipped, an encoding found. `since_1904`: numbers of
    Excel's days are counted from 1904.
    """

    name: str
    sha256: str
    columns: tuple[str, ...]
    chunks: Callable[[], Iterator[Chunk]] = field(repr=False)
    has_geometry: bool = False
    crs: str | None = None
    total: int | None = None
    lines: bool = False
    above: int = 1
    notes: tuple[str, ...] = ()
    since_1904: bool = False


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's or Shapefile's parts in the order of their names."""
    parts = [path]
    if path.is_dir():
        parts = sorted(part for part in path.rglob("*") if part.is_file())
    elif path.suffix.lower() == ".shp":
        parts = sorted(part for part in path.parent.glob(f"{path.stem}.*") if part.is_file())
    total = hashlib.sha256()
    for part in parts:
        with part.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def plain_name(name: str) -> str:
    """Return a heading without blanks at its ends and without line breaks; Chinese needs no space for one."""
    joined = re.sub(r"(?<=[^\x00-\x7f])\s*[\r\n]+\s*(?=[^\x00-\x7f])", "", name.strip().lstrip("\ufeff"))
    return re.sub(r"\s*[\r\n]+\s*", " ", joined).strip()


def unique_names(names: list[str], file: str) -> tuple[str, ...]:
    """Return a header's column names, stripped. Raises BadInput when one occurs twice or none has a name."""
    stripped = [plain_name(name) for name in names]
    named = [name for name in stripped if name]
    if not named:
        raise BadInput("header", f"{file} has no column names in its first row; put them there")
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise BadInput("header", f"{file} has two columns named {', '.join(twice)}; rename one of them")
    return tuple(name or _unnamed(at, named) for at, name in enumerate(stripped))


def _unnamed(at: int, named: list[str]) -> str:
    name = f"column {at + 1}"
    return name if name not in named else f"{name} (unnamed)"


def numbered(
    tables: Iterator[tuple[pa.Table, Geoms | None]], broken: Callable[[], list[Broken]] = list
) -> Iterator[Chunk]:
    """Cut tables into chunks whose rows bear the numbers that `broken` rows leave free."""
    first, told = 1, 0
    for table, geometry in tables:
        for start in range(0, table.num_rows, CHUNK):
            piece = table.slice(start, CHUNK)
            shapes = None if geometry is None else geometry[start : start + CHUNK]
            rows, first = _free_numbers(first, piece.num_rows, broken())
            new, told = tuple(broken()[told:]), len(broken())
            yield Chunk(rows, piece, shapes, new)
    if left := tuple(broken()[told:]):
        yield Chunk(np.zeros(0, np.int64), pa.table({}), None, left)


def _free_numbers(first: int, count: int, broken: list[Broken]) -> tuple[Ints, int]:
    """Return `count` row numbers from `first` that no broken row bears, and the number after them."""
    taken = np.array([row.row for row in broken if row.row >= first], np.int64)
    candidates = np.arange(first, first + count + len(taken), dtype=np.int64)
    rows = candidates[~np.isin(candidates, taken)][:count]
    return rows, int(rows[-1]) + 1 if count else first


def one_array(values: pa.ChunkedArray) -> pa.Array:
    """Return a column of a table as one array."""
    whole = values.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        return whole.chunk(0) if whole.num_chunks else pa.nulls(0, whole.type)
    return whole
