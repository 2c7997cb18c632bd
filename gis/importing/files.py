"""A file to read, wherever it lies: on the disk, in a zip archive (in whichever folder of it), or gzipped."""

import gzip
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from gis.errors import BadInput
from gis.importing import zips

TABLES = frozenset({".csv", ".tsv", ".xlsx", ".xlsm", ".parquet", ".geoparquet", ".arrow", ".feather"})
SHAPES = frozenset({
    ".shp", ".geojson", ".json", ".topojson", ".geojsonl", ".geojsons", ".ndjson", ".jsonl", ".gpkg",
    ".fgb", ".kml", ".gml", ".gpx", ".tab", ".mif", ".dxf", ".sqlite", ".kmz",
})  # fmt: skip
_ZIPPED = frozenset({".zip", ".shz", ".kmz"})
_BOUND = 1 << 30
"""Bytes of a packed file that are unpacked into memory."""


@dataclass(frozen=True)
class File:
    """One file to read; `member` is its path within the archive at `path`.

    `prefix`: what stands before the name of a layer of it in `--layer`, where it is one of several files.
    """

    path: Path
    member: str | None = None
    prefix: str = ""

    @property
    def _inner(self) -> PurePosixPath:
        return PurePosixPath(self.member or self.path.as_posix())

    @property
    def packed(self) -> bool:
        """Tell whether it is gzipped."""
        return self._inner.suffix.lower() == ".gz"

    @property
    def suffix(self) -> str:
        """Return the suffix in lower case, without that of gzip."""
        inner = self._inner.with_suffix("") if self.packed else self._inner
        return inner.suffix.lower() or self._inner.suffix.lower()

    @property
    def name(self) -> str:
        """Return the name by which people know it."""
        return self.path.name if self.member is None else f"{self.path.name}/{self.member}"

    @property
    def plain(self) -> bool:
        """Tell whether it lies on the disk as it is."""
        return self.member is None and not self.packed

    @property
    def gdal(self) -> str | bytes:
        """Return GDAL's name of it, or an archive of it and its parts where that does not find them.

        Raises BadInput when they are too large to be held.
        """
        told = str(self.path)
        if self.member is not None:
            renamed = zips.plainly(self.path, self.member) if self.suffix in SHAPES else None
            if renamed is not None:
                return renamed
            told = f"/vsizip/{{{self.path.absolute()}}}/{zips.for_gdal(self.path, self.member)}"
        return f"/vsigzip/{told}" if self.packed else told

    def open(self) -> IO[bytes]:
        """Return its bytes as a stream from the start."""
        if self.member is None:
            raw: IO[bytes] = self.path.open("rb")
        else:
            with zips.opened(self.path) as archive:
                raw = archive.open(self.member)
        if not self.packed:
            return raw
        unpacked = gzip.GzipFile(fileobj=raw)
        unpacked.myfileobj = cast("io.FileIO", raw)  # what it closes with itself
        return cast("IO[bytes]", unpacked)

    def size(self) -> int:
        """Return its bytes, unpacked."""
        if self.member is None:
            return self.path.stat().st_size
        with zips.opened(self.path) as archive:
            return archive.getinfo(self.member).file_size

    def content(self) -> bytes:
        """Return all its bytes. Raises BadInput when there are too many for memory."""
        with self.open() as stream:
            found = stream.read(_BOUND + 1)
        if len(found) > _BOUND:
            raise BadInput(
                "file", f"{self.name} is larger than {_BOUND >> 30} GB unpacked; unpack it, or split it"
            )
        return found

    def seekable(self) -> Path | io.BytesIO:
        """Return what libraries that jump about in a file can read."""
        return self.path if self.plain else io.BytesIO(self.content())

    def beside(self, suffix: str) -> "File | None":
        """Return the file of the same name with another suffix, in whichever case both are written."""
        wanted = self._inner.with_suffix(suffix).name.lower()
        if self.member is not None:
            with zips.opened(self.path) as archive:
                inside = [PurePosixPath(name) for name in archive.namelist()]
            hits = [one for one in inside if one.parent == self._inner.parent and one.name.lower() == wanted]
            return File(self.path, str(hits[0])) if hits else None
        found = sorted(one for one in self.path.parent.iterdir() if one.name.lower() == wanted)
        return File(found[0]) if found else None


def find(path: Path, layer: str | None) -> tuple[File, str | None]:
    """Return the file to read at a path, and the layer that is to be looked for in it.

    Of an archive it is the one file in it that can be read, in whichever folder; of several, `layer` names
    one by its path, its name or its stem, and a layer of it behind that: `roads.gpkg/streets`. Raises
    BadInput when it is none of them.
    """
    _check_packing(path)
    if path.suffix.lower() not in _ZIPPED or not path.is_file():
        return File(path), layer
    inside = _readable(path)
    if len(inside) <= 1:
        return (File(path, inside[0]) if inside else File(path)), layer
    named = [] if layer is None else [(one, rest) for one in inside for rest in _rests(one, layer)]
    chosen = [one for one in named if layer and one[0] == layer] or named
    if len(chosen) == 1:
        member, rest = chosen[0]
        return File(path, member, f"{_shortest(member, inside)}/"), rest
    told = ", ".join(_shortest(member, inside) for member in inside[:20])
    problem = "holds several files; choose one" if layer is None else f"has not one {layer!r}; choose"
    raise BadInput("layer", f"{path.name} {problem} with --layer: {told}")


def _rests(member: str, layer: str) -> set[str | None]:
    """Return which layers of an archive's file may be meant, None for the file as it is."""
    rests = {layer.removeprefix(f"{name}/") for name in _names(member) if layer.startswith(f"{name}/")}
    return {None} if layer in _names(member) else {*rests}


_PACKED = {
    b"PK\x03\x04": "a zip archive", b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a rar archive", b"\x1f\x8b": "packed by gzip",
    b"BZh": "packed by bzip2", b"\xfd7zXZ": "packed by xz",
}  # fmt: skip
"""How packed files begin, whatever their names are."""
_ARCHIVES = frozenset({".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"})
_WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".kmz"})
"""Formats that are zip archives themselves."""


def _check_packing(path: Path) -> None:
    """Raise BadInput for a file that is packed otherwise than its name says, or in a way that is not read."""
    if not path.is_file():
        return
    if path.suffix.lower() == ".xlsb":
        raise BadInput(
            "file", f"{path.name} is a binary workbook (.xlsb), which is not read; save it as xlsx"
        )
    with path.open("rb") as opened:
        begin = opened.read(8)
    how = next((told for sign, told in _PACKED.items() if begin.startswith(sign)), None)
    suffix = path.suffix.lower()
    if how is None or (suffix in _ZIPPED | _WORKBOOKS and begin.startswith(b"PK")):
        return
    if suffix == ".gz" and begin.startswith(b"\x1f\x8b") and Path(path.stem).suffix.lower() not in _ARCHIVES:
        return
    raise BadInput("file", f"{path.name} is {how}; unpack it, or give it the ending of what it is")


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise BadInput for an archive that is locked, that is empty, or in which there are only archives."""
    members = [one for one in archive.infolist() if not one.is_dir() and not _is_hidden(one.filename)]
    if any(one.flag_bits & 1 for one in members):
        raise BadInput("file", f"{path.name} is locked with a password; save it without one")
    if not members:
        raise BadInput("file", f"{path.name} holds no file")
    if all(PurePosixPath(one.filename).suffix.lower() in _ARCHIVES for one in members):
        told = ", ".join(one.filename for one in members[:5])
        raise BadInput(
            "file", f"{path.name} holds only archives ({told}); unpack it and import what is in them"
        )


def _names(member: str) -> set[str]:
    inner = PurePosixPath(member)
    return {member, inner.name, inner.stem}


def _shortest(member: str, inside: list[str]) -> str:
    """Return the shortest name by which an archive's file is known in it."""
    names = sorted(_names(member), key=len)
    return next(name for name in names if sum(name in _names(one) for one in inside) == 1 or name == member)


def _readable(path: Path) -> list[str]:
    """Return the members of an archive that can be read; of a shapefile its .shp, a .txt only if alone."""
    with zips.opened(path) as archive:
        _check_archive(path, archive)
        members = [one for one in archive.namelist() if not one.endswith("/")]
    if path.suffix.lower() == ".kmz":
        return _with_places(path, [one for one in members if one.lower().endswith(".kml")])
    if databases := {one[: at + 4] for one in members if (at := one.lower().find(".gdb/")) > 0}:
        return sorted(databases)
    inside = [one for one in members if not _is_hidden(one)]
    found = [one for one in inside if File(path, one).suffix in TABLES | SHAPES]
    found = sorted(found or [one for one in inside if File(path, one).suffix == ".txt"])
    if not found and not any(one.lower().endswith(".gdbtable") for one in inside):
        told = ", ".join(inside[:5]) + " …" * (len(inside) > 5)
        raise BadInput("file", f"{path.name} holds no file of a kind that is read, only {told}")
    return found


def _with_places(path: Path, members: list[str]) -> list[str]:
    """Return the members of a KMZ that hold places: others hold its styles, or links to those that do."""
    return sorted(one for one in members if count(File(path, one), b"<Placemark")) or sorted(members)


def count(file: File, sign: bytes) -> int:
    """Return how often a file of text holds some ASCII, in whichever encoding."""
    found, rest = 0, b""
    with file.open() as stream:
        while block := stream.read(1 << 20):
            block = rest + block.replace(b"\0", b"")
            found += block.count(sign)
            rest = block[-len(sign) + 1 :]
    return found


def _is_hidden(member: str) -> bool:
    parts = PurePosixPath(member).parts
    return "__MACOSX" in parts or parts[-1].startswith((".", "~$"))
