"""Zip archives, their names in the encoding that they are in."""

import struct
import zipfile
from pathlib import Path

_UTF8 = 0x800
"""The flag of an entry whose name says that it is UTF-8; the names of others say nothing."""
_TRUE_NAME = 0x7075
"""The extra field that repeats a name as UTF-8 (Info-ZIP)."""
_BY_STANDARD = "cp437"


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
