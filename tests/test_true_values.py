"""Files generated with known truth: every value is stored as it is, or its row refused; no third thing."""

import json
import os
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from sqlalchemy.engine import Connection

from gis.errors import BadInput
from gis.importing import mapping, reading
from gis.importing.job import Options, prepare
from gis.importing.kinds import KINDS
from gis.importing.run import examine
from tests import town

SEED = int(os.environ.get("SAFETYMAP_TRUTH_SEED", "20261128"))
WORDS = {
    "zh": ["株洲市", "荷塘区", "金山街道", "秋实路", "红旗路", "博物馆",
        "第一中学", "东校区", "张喆", "李镕基", "女", "１２号", "Ⅱ号库", "（北）"],
    "tw": ["臺北市", "信義區", "中山路", "國立", "學校", "綠島", "萬華", "龍山寺"],
    "west": ["Peña", "Bénédict", "Straße", "Müller", "façade", "Ålesund", "coöp", "naïve"],
    "ru": ["Улица", "Ленина", "Москва", "площадь", "дом"],
    "ko": ["서울", "강남구", "역삼동", "경찰서", "번지"],
    "ja": ["東京都", "千代田区", "ひらがな", "カタカナ", "番地"],
}  # fmt: skip
ENCODINGS = {
    "utf-8": "zh", "gbk": "zh", "gb18030": "zh", "utf-16": "zh", "utf-16-le": "zh", "big5": "tw",
    "cp1252": "west",
    "cp1251": "ru", "euc_kr": "ko", "shift_jis": "ja", "euc_jp": "ja",
}  # fmt: skip


def phrase(rng: np.random.Generator, words: list[str]) -> str:
    count = int(rng.integers(1, 5))
    return "".join(rng.choice(words, count)) + str(rng.choice(["", " 12", "A", "-3", " St"]))


def damaged(rng: np.random.Generator, raw: bytes, others: list[bytes]) -> bytes:
    """A value as bad tools leave it: cut inside a character, or from a file in another encoding."""
    kind = rng.integers(0, 3)
    return (
        raw[:-1]
        if kind == 0
        else raw[: max(1, len(raw) // 2)]
        if kind == 1
        else others[int(rng.integers(len(others)))]
    )


def said_by(raw: bytes, encoding: str, true: str) -> str:
    """What the bytes of a damaged value truly say: nothing, unless the damage left whole characters."""
    try:
        left = raw.decode(encoding)
    except UnicodeDecodeError:
        return "\x00"
    return left if true.startswith(left) else "\x00"


def text_file(rng: np.random.Generator, folder: Path, number: int) -> tuple[Path, list[str]]:
    """A file of texts in some encoding, some rows of it damaged, and what they truly say."""
    encoding = str(rng.choice(list(ENCODINGS)))
    said = WORDS[ENCODINGS[encoding]]
    true = [phrase(rng, said) for _ in range(int(rng.integers(1, 40)))]
    raw = [one.encode("utf-8" if "16" in encoding else encoding) for one in true]
    if ENCODINGS[encoding] == "zh" and "16" not in encoding:
        other = "utf-8" if encoding != "utf-8" else "gbk"
        others = [phrase(rng, said).encode(other) for _ in range(5)]
        for at in np.flatnonzero(rng.random(len(raw)) < 0.1).tolist():
            raw[at] = damaged(rng, raw[at], others)
            true[at] = said_by(raw[at], encoding, true[at])
    suffix = str(rng.choice(["csv", "geojson", "shp"])) if "16" not in encoding else "csv"
    write = {"csv": _csv, "geojson": _geojson, "shp": _shp}[suffix]
    path = folder / f"{number}.{suffix}"
    write(path, raw, encoding)
    return path, true


def _csv(path: Path, raw: list[bytes], encoding: str) -> None:
    lines = b"".join(b"%d,%s\n" % row for row in enumerate(raw, start=1))
    content = b"origin_id,name\n" + lines
    path.write_bytes(content.decode().encode(encoding) if "16" in encoding else content)


def _geojson(path: Path, raw: list[bytes], _encoding: str) -> None:
    marks = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"origin_id": str(n), "name": f"@{n}@"}, "geometry": None}
        for n in range(1, len(raw) + 1)
    ]}  # fmt: skip
    content = json.dumps(marks).encode()
    for n, one in enumerate(raw, start=1):
        content = content.replace(b"@%d@" % n, one.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    path.write_bytes(content)


def _shp(path: Path, raw: list[bytes], _encoding: str) -> None:
    names = [f"@{n}@".ljust(80, "_") for n in range(1, len(raw) + 1)]
    ids = [str(n) for n in range(1, len(raw) + 1)]
    points = shapely.points(np.full((len(raw), 2), [113.0, 27.0]))
    gpd.GeoDataFrame({"origin_id": ids, "name": names}, geometry=points, crs=4326).to_file(path)
    table = path.with_suffix(".dbf")
    content = table.read_bytes()
    for name, one in zip(names, raw, strict=True):
        content = content.replace(name.encode(), one.ljust(80))
    table.write_bytes(content)
    path.with_suffix(".cpg").unlink()


def code_file(rng: np.random.Generator, folder: Path, number: int) -> tuple[Path, list[str]]:
    """A file with a column of codes in whichever type its format has, and what they truly are."""
    digits = rng.integers(1, 21, int(rng.integers(1, 40)))
    if rng.random() < 0.5:
        digits[:] = digits[0]
    true = ["".join(map(str, [rng.integers(1, 10), *rng.integers(0, 10, count - 1)])) for count in digits]
    suffix = str(rng.choice(["csv", "xlsx", "parquet", "feather", "geojson", "gpkg", "shp", "single"]))
    path = folder / f"{number}.{suffix.replace('single', 'parquet')}"
    text = rng.random() < 0.3
    given: list[Any] = [
        one if text or (rng.random() < 0.1 and suffix in ("xlsx", "csv")) else float(one) for one in true
    ]
    ids = [str(n) for n in range(1, len(true) + 1)]
    if suffix == "csv":
        path.write_text(
            "origin_id,name\n"
            + "".join(
                f"{n},{one if isinstance(one, str) else _excel(one)}\n"
                for n, one in zip(ids, given, strict=True)
            )
        )
    elif suffix == "xlsx":
        book = openpyxl.Workbook()
        for row in [("origin_id", "name"), *zip(ids, given, strict=True)]:
            book.active.append(row)
        book.save(path)
    elif suffix == "single":
        pq.write_table(pa.table({"origin_id": ids, "name": pa.array(map(float, true), pa.float32())}), path)
    elif suffix in ("parquet", "feather"):
        frame = pd.DataFrame({"origin_id": ids, "name": given})
        frame.to_parquet(path) if suffix == "parquet" else frame.to_feather(path)
    else:
        points = shapely.points(np.full((len(ids), 2), [113.0, 27.0]))
        frame = gpd.GeoDataFrame({"origin_id": ids, "name": given}, geometry=points, crs=4326)
        frame.to_file(path, **({"encoding": "utf-8"} if suffix == "shp" else {}))
    return path, true


def _excel(value: float) -> str:
    """A number as a spreadsheet writes it to CSV."""
    return str(int(value)) if value < 1e11 else f"{value:.5E}"


def held(conn: Connection, path: Path) -> dict[str, str]:
    """The values of the rows that are not refused, by their ids."""
    source = reading.read(path)
    job = prepare(
        conn,
        KINDS["staff"],
        source,
        Options(mapping=mapping.plain("staff", "truth"), refused=path.with_suffix(".refused")),
    )
    found: dict[str, str] = {}
    for chunk in source.chunks():
        columns, _ = examine(job, chunk)
        found |= dict(zip(columns["origin_id"].to_pylist(), columns["name"].to_pylist(), strict=True))
    return found


def check(conn: Connection, folder: Path, count: int, make: Any) -> dict[str, int]:
    rng, told = np.random.default_rng(SEED), {"files": 0, "refused files": 0, "true": 0, "refused rows": 0}
    for number in range(count):
        path, true = make(rng, folder, number)
        told["files"] += 1
        try:
            found = held(conn, path)
        except BadInput:
            told["refused files"] += 1
            continue
        wrong = {n: (got, true[int(n) - 1]) for n, got in found.items() if got != true[int(n) - 1].strip()}
        assert not wrong, (path.name, wrong)
        told["true"] += len(found)
        told["refused rows"] += len(true) - len(found)
    print(told)  # noqa: T201 - docs/proofs.md has it
    return told


@pytest.fixture
def store(conn: Connection) -> Connection:
    town.add_grids(conn)
    return conn


@pytest.mark.parametrize("make", [text_file, code_file])
def test_every_value_is_the_truth_or_refused(store: Connection, tmp_path: Path, make: Any) -> None:
    told = check(store, tmp_path, 12, make)
    assert told["true"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("make", [text_file, code_file])
def test_every_value_of_a_hundred_files_is_the_truth_or_refused(
    store: Connection, tmp_path: Path, make: Any
) -> None:
    told = check(store, tmp_path, 100, make)
    assert told["true"] > 500
    assert told["refused files"] < 60
