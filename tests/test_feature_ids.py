"""Ids of GeoJSON's features come in as they are or refuse the file; none is invented, cut or spelt anew."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gis.errors import BadInput
from gis.importing import json_texts, reading


def written(path: Path, ids: list[Any], mark: str = "") -> Path:
    """Write features with ids; `...` has none."""
    point = {"type": "Point", "coordinates": [113, 27]}
    each = [
        {"type": "Feature"}
        | ({} if one is ... else {"id": one})
        | {"properties": {"n": at}, "geometry": point}
        for at, one in enumerate(ids)
    ]
    if path.suffix == ".geojson":
        path.write_text(json.dumps({"type": "FeatureCollection", "features": each}))
    else:
        path.write_text("\n".join(mark + json.dumps(one) for one in each))
    return path


def ids_of(path: Path) -> list[Any]:
    (chunk,) = reading.read(path).chunks()
    table: pa.Table = chunk.table.sort_by("n")
    return table["id"].to_pylist()


FILES = {"a.geojson": "", "a.ndjson": "", "a.geojsons": "\x1e"}
NONE = [True, False, [1], {"a": 1}, 10**25, 1e300]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("strange", NONE)
@pytest.mark.parametrize("other", ["x", 7])
def test_what_is_no_id_refuses_the_file(tmp_path: Path, file: str, strange: Any, other: Any) -> None:
    path = written(tmp_path / file, [other, strange, "y"], FILES[file])
    with pytest.raises(BadInput, match=r"1 features \(number 2\) have an id that is none") as refused:
        reading.read(path)
    assert refused.value.field == "id"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("ids", "right"),
    [
        ([7, ..., 9], [7, None, 9]),
        ([None, 5, 6], [None, 5, 6]),
        (["a", ..., "true"], ["a", None, "true"]),
        ([10**17 + 1, -(2**62), 3], [10**17 + 1, -(2**62), 3]),
        (["007", 8, 9], ["007", "8", "9"]),
        ([1, "b", 3], ["1", "b", "3"]),
        ([1, 2, "3a", ...], ["1", "2", "3a", None]),
        ([..., 7, "007"], [None, "7", "007"]),
        ([-5, "x", 10**17 + 1], ["-5", "x", str(10**17 + 1)]),
        ([1e3, 2, "b"], ["1000", "2", "b"]),
        ([1e3, 1e4], ["1000", "10000"]),
        ([1, 1.5], ["1", "1.5"]),
    ],
)
def test_ids_are_those_of_the_file(tmp_path: Path, file: str, ids: list[Any], right: list[Any]) -> None:
    assert ids_of(written(tmp_path / file, ids, FILES[file])) == right


def test_features_without_any_have_none(tmp_path: Path) -> None:
    assert "id" not in reading.read(written(tmp_path / "a.geojson", [..., ...])).columns


def test_ids_of_a_file_too_large_to_look_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_texts, "MOST_READ", 50)
    assert ids_of(written(tmp_path / "a.geojson", [7, 8])) == [7, 8]
