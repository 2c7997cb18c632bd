"""Zip archives, their names in the encoding that they are in."""

import io
import struct
import zipfile
from pathlib import Path, PurePosixPath

from gis.errors import BadInput

_UTF8 = 0x800
"""The flag of an entry whose name says that it is UTF-8; the names of others say nothing."""
_TRUE_NAME = 0x7075
"""The extra field that repeats a name as UTF-8 (Info-ZIP)."""
_BY_STANDARD = "cp437"
_MOST = 1 << 30
"""Bytes of parts that are given other names, in memory."""


def opened(path: Path) -> zipfile.ZipFile:
    """Return an archive whose entries bear their true names: UTF-8, GBK, else what the standard says."""
    return zipfile.ZipFile(path, metadata_encoding=_encoding(path))


def for_gdal(path: Path, member: str) -> str:
    """Return the name that GDAL has for an entry, or a folder of some: unmarked ones as CP437."""
    with opened(path) as archive:
        inside = [one for one in archive.infolist() if one.filename.startswith(member)]
        encoding = _encoding(path)
    if any(one.flag_bits & _UTF8 or _has_true_name(one.extra) for one in inside):
        return member
    return member.encode(encoding).decode(_BY_STANDARD)


PLAIN = f"pyogrio_{0:032x}"
"""The name of a file that is handed to GDAL under another than its own: as pyogrio calls those of memory."""


def plainly(path: Path, member: str) -> bytes | None:
    """Return an archive of an entry and of what lies beside it under plain names, None where GDAL finds them.

    It takes 5C, the second byte of some Chinese and Japanese signs, for a separator of folders, and does not
    find parts of which the suffixes are written otherwise than its own (`a.SHP`, `a.Dbf`).
    """
    inner = PurePosixPath(member)
    with opened(path) as archive:
        parts = {name: rest for name in archive.namelist() if (rest := _rest(name, inner))}
        if "\\" not in for_gdal(path, member) and {_case(name) for name in parts} in ({True}, {False}):
            return None
        if sum(archive.getinfo(name).file_size for name in parts) > _MOST:
            raise BadInput("file", f"{path.name}/{member} has a name that is not found; unpack and rename it")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as plain:
            for name, rest in parts.items():
                plain.writestr(f"{PLAIN}{rest.lower()}", archive.read(name))
    return out.getvalue()


def _rest(name: str, inner: PurePosixPath) -> str:
    """Return what stands behind the stem that a part has in common with a file; nothing if it is none."""
    one = PurePosixPath(name)
    if one.parent != inner.parent or name.endswith("/"):
        return ""
    same = one.name.casefold().startswith(f"{inner.stem}.".casefold())
    return one.name[len(inner.stem) :] if same else ""


def _case(name: str) -> bool | None:
    """Tell whether a suffix is in capitals, None where it is in both."""
    suffix = PurePosixPath(name).suffix
    return None if suffix not in (suffix.upper(), suffix.lower()) else suffix == suffix.upper()


def _has_true_name(extra: bytes) -> bool:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == _TRUE_NAME:
            return True
        extra = extra[4 + size :]
    return False


def _encoding(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        unmarked = [one.orig_filename for one in archive.infolist() if not one.flag_bits & _UTF8]
    names = "\n".join(unmarked).encode(_BY_STANDARD)
    return next((one for one in ("utf-8", "gb18030") if _speaks(names, one)), _BY_STANDARD)


def _speaks(names: bytes, encoding: str) -> bool:
    """Tell whether names may be in an encoding: as GBK most of their signs are of the common ones."""
    try:
        signs = [sign for sign in names.decode(encoding) if not sign.isascii()]
    except UnicodeDecodeError:
        return False
    common = sum(bool(sign.encode("gb2312", "ignore")) for sign in signs)
    return encoding == "utf-8" or 2 * common > len(signs)
