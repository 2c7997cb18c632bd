"""Files that are written whole or not at all: beside their place first, then moved there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from gis.errors import BadInput

_OF_DISKS = (OSError, DataLayerError, DataSourceError, FeatureError)
"""What is raised where a disk is full, by pyogrio too."""


@contextmanager
def whole(file: Path, name: str = "FILE") -> Iterator[Path]:
    """Yield where to write a file, which takes its place when all of it is written; else none is left of it.

    What stood there stays until then, with its permissions ever after. Devices and pipes are written to at
    once. Raises BadInput naming `name`, the option or argument it was given by, where it cannot be written.
    """
    place = file.resolve()  # what a link leads to is replaced, not the link
    try:
        if place.exists() and not place.is_file():
            yield place
            return
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name[:40]}-") as folder:
            part = Path(folder) / place.name
            yield part
            if place.exists():
                shutil.copymode(place, part)
            part.replace(place)
    except (ValueError, *_OF_DISKS) as error:
        raise _unwritten(file, name, error) from error


def _unwritten(file: Path, name: str, error: Exception) -> Exception:
    """Return what is told of a file that could not be written; the error itself where that is not why."""
    cause: BaseException = error
    while not isinstance(cause, _OF_DISKS):
        if cause.__context__ is None:
            return error
        cause = cause.__context__  # openpyxl's own error hides that of the disk
    why = cause.strerror if isinstance(cause, OSError) else None
    free = shutil.disk_usage(_there(file.resolve())).free
    why = why or str(cause).partition(";")[0].splitlines()[0][:200]
    return BadInput(name, f"{file} cannot be written: {why}, {free:,} bytes are free; choose another place")


def _there(place: Path) -> Path:
    """Return the first folder above a place that is there."""
    return next(one for one in place.parents if one.exists())
