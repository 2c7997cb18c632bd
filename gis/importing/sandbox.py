"""Files read in a process of their own: bounded in memory and time, few drivers, no way to write.

What a hostile file does to its reader (a bomb, a bug in a driver, a view that never ends) ends there. The
child answers in Arrow's stream format and JSON, never in pickles, so that it cannot make us run anything.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from gis.errors import BadInput, NotFound, Problem
from gis.importing import not_data, reading
from gis.importing.source import Broken, Chunk, ReadOptions, Source, one_array

DRIVERS = frozenset({
    "DXF", "ESRI Shapefile", "ESRIJSON", "FlatGeobuf", "GML", "GPKG", "GPX", "GeoJSON", "GeoJSONSeq",
    "JSONFG", "KML", "LIBKML", "MapInfo File", "OpenFileGDB", "SQLite", "TopoJSON",
})  # fmt: skip
"""What GDAL may read; not those that open other files, run programs or ask servers: VRT, WFS, HTTP …"""
MEMORY = 6 << 30
"""Bytes of address space, beyond the size of the file."""
SECONDS = 120
"""Time on the processor, and one more per two megabytes of the file."""
_PATIENCE = 5
"""Seconds within which a child that has closed its answer ends."""
_NO_MEMORY = 3
"""The code with which a child ends that gets no more memory."""
_ARCHIVES = frozenset({".zip", ".shz", ".kmz", ".xlsx", ".xlsm"})
_MOST_FILES, _MOST_BYTES, _MOST_RATIO = 10_000, 4 << 30, 200
_ROW, _SHAPE = "\x00row", "\x00shape"
_BESIDE = {"seen": "\x00seen:", "natures": "\x00nature:"}
"""What a chunk knows of its columns, and what is put before their names for it."""
_PLAIN = ReadOptions()
_ERRORS = {"NotFound": NotFound}


def read(path: Path, options: ReadOptions = _PLAIN) -> Source:
    """Return the file at `path` as a source whose rows come from a child process.

    Raises NotFound when there is no such file; BadInput when it cannot be read, is an archive that would not
    fit, or takes too much memory or time.
    """
    if not path.exists():
        raise NotFound(f"no file at {path}")
    if str(path).startswith("/vsi"):
        raise BadInput("file", "is a path of GDAL's virtual file systems; give a file of this machine")
    if path.suffix.lower() in _ARCHIVES:
        _check_archive(path)
    child = _Child(path, options)
    return replace(_source(child.header()), chunks=_Chunks(path, options, child))


def _check_archive(path: Path) -> None:
    """Refuse an archive by what it says of itself, before anything is unpacked."""
    not_data.check(path)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadInput("file", f"{path.name} is a broken archive: {error}") from error
    size, packed = (sum(getattr(one, name) for one in inside) for name in ("file_size", "compress_size"))
    if len(inside) > _MOST_FILES or size > _MOST_BYTES or size > _MOST_RATIO * max(packed, 1 << 16):
        raise BadInput(
            "file", f"{path.name} would unpack to {len(inside)} files of {size >> 20} MB; unpack it yourself"
        )
    if any(one.filename.startswith("/") or ".." in Path(one.filename).parts for one in inside):
        raise BadInput("file", f"{path.name} holds a path that leads out of it")


class _Child:
    """The reading process, seen from here."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        skip = ",".join(sorted(set(pyogrio.list_drivers()) - DRIVERS))
        told = {"GDAL_SKIP": skip, "OGR_SKIP": skip, "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none"}
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",  # no module of the current folder, of PYTHONPATH or of the user
                "-m",
                "gis.importing.child",
                str(path.absolute()),
                json.dumps(vars(options)),
                str(MEMORY),
                str(SECONDS),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept | told,
            cwd="/",  # GDAL and PROJ look for their own tables in the current folder too
        )

    def header(self) -> dict[str, Any]:
        """Return the next message. Raises what the child raised, or BadInput when it died."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            self.close()
            kind = _ERRORS.get(told["error"])
            raise kind(told["text"]) if kind else BadInput(told["field"], told["text"])
        return told

    def table(self) -> pa.Table:
        """Return the table that follows a message."""
        assert self._process.stdout
        try:
            with pa.ipc.open_stream(self._process.stdout) as stream:
                return stream.read_all()
        except (pa.ArrowException, OSError) as error:
            raise self._died() from error

    def _died(self) -> BadInput:
        """Return what is known of a child's end, the only thing that it has said."""
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        return BadInput("file", f"{self._path.name} {_why(code)}")

    def close(self) -> None:
        """End the child, whatever it does."""
        assert self._process.stdout
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()


def _why(code: int | None) -> str:
    """Return why a child has ended that did not say so itself, by its code (None: it goes on, in silence)."""
    if code == _NO_MEMORY:
        return f"needs more memory to read than a file may ({MEMORY >> 30} GB beyond its size); split it"
    if code == -signal.SIGXCPU:
        return f"needs more time to read than a file may ({SECONDS} s and more by size); split it"
    if code == -signal.SIGKILL:
        return "cannot be read: its reader was killed from outside; is this machine out of memory?"
    how = "fell silent" if code is None else f"ended with code {code}"
    how = f"broke off ({signal.Signals(-code).name})" if code and code < 0 else how
    return f"cannot be read: its reader {how}; get the file again, or save it in another format"


def _source(told: dict[str, Any]) -> Source:
    return Source(
        **(told | {name: tuple(told[name]) for name in ("columns", "notes")}), chunks=lambda: iter(())
    )


class _Chunks:
    """A file's chunks, as often as they are needed: the first time by the child that has told what it is."""

    def __init__(self, path: Path, options: ReadOptions, begun: _Child) -> None:
        self._path, self._options, self._begun = path, options, [begun]
        weakref.finalize(self, begun.close)

    def __call__(self) -> Iterator[Chunk]:
        """Return the chunks. Raises BadInput where a row cannot be read or takes too much."""
        child = self._begun.pop() if self._begun else self._again()
        try:
            while (told := child.header())["more"]:
                yield _unpack(child.table(), told)
        finally:
            child.close()

    def _again(self) -> _Child:
        child = _Child(self._path, self._options)
        child.header()
        return child


def _unpack(table: pa.Table, told: dict[str, Any]) -> Chunk:
    shapes = None
    if _SHAPE in table.column_names:
        shapes = np.asarray(shapely.from_wkb(table[_SHAPE].to_numpy()), dtype=object)
    plain = table.select([name for name in table.column_names if not name.startswith("\x00")])
    broken = tuple(Broken(**one) for one in told["broken"])
    beside = {
        what: {
            name.removeprefix(mark): one_array(table[name])
            for name in table.column_names
            if name.startswith(mark)
        }
        for what, mark in _BESIDE.items()
    }
    return Chunk(table[_ROW].to_numpy(), plain, shapes, broken, **beside)


def _pack(chunk: Chunk) -> pa.Table:
    table = chunk.table.append_column(_ROW, pa.array(chunk.rows, pa.int64()))
    if chunk.geometry is not None:
        wkb = shapely.to_wkb(chunk.geometry, include_srid=False)
        table = table.append_column(_SHAPE, pa.array(wkb, pa.large_binary()))
    for what, mark in _BESIDE.items():
        for name, values in getattr(chunk, what).items():
            table = table.append_column(f"{mark}{name}", values)
    return table


def _limit(path: Path, memory: int, seconds: int) -> None:
    size = sum(part.stat().st_size for part in (path.rglob("*") if path.is_dir() else [path]))
    seconds += size >> 21
    resource.setrlimit(resource.RLIMIT_AS, (memory + size, memory + size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))  # at the first it is told, then killed
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(out: IO[bytes], **told: object) -> None:
    out.write(json.dumps(told).encode() + b"\n")
    out.flush()


def _serve(path: Path, options: ReadOptions, out: IO[bytes]) -> None:
    """Tell what the file is, then its chunks one after another."""
    source = reading.read(path, options)
    _say(
        out, name=source.name, sha256=source.sha256, columns=source.columns, has_geometry=source.has_geometry,
        crs=source.crs, total=source.total, lines=source.lines, above=source.above, notes=source.notes,
        since_1904=source.since_1904,
    )  # fmt: skip
    for chunk in source.chunks():
        _say(out, more=True, broken=[vars(one) for one in chunk.broken])
        table = _pack(chunk)
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        out.flush()
    _say(out, more=False)


def child() -> None:
    """Be the child, with a path, options and limits as the program's words."""
    path, options, out = Path(sys.argv[1]), ReadOptions(**json.loads(sys.argv[2])), sys.stdout.buffer
    memory, seconds = map(int, sys.argv[3:])
    _limit(path, memory, seconds)
    with suppress(BrokenPipeError):  # nobody listens any more
        try:
            _serve(path, options, out)
        except BadInput as error:
            _refuse(out, path, "BadInput", error.field, error.detail)
        except Problem as error:
            _refuse(out, path, type(error).__name__, "file", str(error))
        except MemoryError:
            sys.exit(_NO_MEMORY)
        except Exception as error:  # noqa: BLE001 - whatever a driver stumbles over is the file's fault
            text = f"{path.name} cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
            _refuse(out, path, "BadInput", "file", text)


def _refuse(out: IO[bytes], path: Path, kind: str, field: str, text: str) -> None:
    """Tell an error; where the file lies on this machine is not told, drivers are fond of saying it."""
    if "bad_alloc" in text:  # how the standard library of C++ says it, which GDAL hands on
        sys.exit(_NO_MEMORY)
    _say(out, error=kind, field=field, text=text.replace(str(path), path.name))
