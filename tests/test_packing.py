"""Archives that cannot be read say why: locked, empty, packed twice, or named as what they are not."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from gis.errors import BadInput
from gis.importing import reading

TABLE = b"origin_id,name\n1,a\n"


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return held.getvalue()


def locked() -> bytes:
    """A zip whose member is marked as encrypted, in both of its headers."""
    made = bytearray(zipped(p__csv=TABLE))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        made[made.index(sign) + at] |= 1
    return bytes(made)


def tarred() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        member = tarfile.TarInfo("p.csv")
        member.size = len(TABLE)
        archive.addfile(member, io.BytesIO(TABLE))
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("l.csv", zipped(p__csv=TABLE), "is a zip archive; unpack it, or give it the ending of what it is"),
        ("l.geojson", gzip.compress(TABLE, mtime=0), "is packed by gzip"),
        ("l.csv.gz", zipped(p__csv=TABLE), "is a zip archive"),
        ("l.zip", gzip.compress(TABLE, mtime=0), "is packed by gzip"),
        ("l.tar.gz", tarred(), "is packed by gzip; unpack it"),
        ("l.tgz", tarred(), "is packed by gzip; unpack it"),
        ("l.7z", b"7z\xbc\xaf\x27\x1c" + bytes(26), "is a 7z archive; unpack it"),
        ("l.rar", b"Rar!\x1a\x07\x01\x00" + bytes(20), "is a rar archive; unpack it"),
        ("l.zip", locked(), "is locked with a password"),
        ("l.zip", zipped(), "empty zip archive|holds no file"),
        ("l.zip", zipped(a__zip=zipped(p__csv=TABLE)), r"holds only archives \(a.zip\)"),
        ("l.zip", zipped(a__7z=b"x", b__rar=b"y"), r"holds only archives \(a.7z, b.rar\)"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(BadInput, match=told):
        reading.read(file)


@pytest.mark.parametrize(
    ("name", "content"),
    [("l.csv", TABLE), ("l.csv.gz", gzip.compress(TABLE, mtime=0)), ("l.zip", zipped(p__csv=TABLE))],
)
def test_what_can_be_read_is(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    assert [chunk.table.to_pydict() for chunk in reading.read(file).chunks()] == [
        {"origin_id": ["1"], "name": ["a"]}
    ]
