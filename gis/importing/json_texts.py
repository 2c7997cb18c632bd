"""Files of JSON as GDAL is to read them: every text of a sequence counted, and every id as it says."""

import codecs
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import orjson

from gis.errors import BadInput
from gis.importing import feature_ids, json_values
from gis.importing.files import File

SUFFIXES = frozenset({".geojsonl", ".geojsons", ".ndjson", ".jsonl", ".geojson", ".json", ".topojson"})
MOST_READ = 1 << 28
"""Bytes of GeoJSON of which the members are looked at one by one."""
_BLOCK = 8 << 20
_BETWEEN = re.compile(r"[\s\x1e\ufeff,;]*")
"""What stands between the texts of a sequence: ends of lines, record separators, marks, commas."""
_BEFORE_FIRST, _BEFORE = re.compile(r"[\x1e\s]*"), re.compile(r"\s*\n[\x1e\s]*")
"""What may stand there in a sequence that GDAL reads by itself."""
_DECODER = json.JSONDecoder()
_KINDS = frozenset({
    "Feature", "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
})  # fmt: skip
"""What GDAL makes a row of, in a sequence."""


@dataclass(frozen=True)
class Look:
    """What a file of JSON holds: `given`, as GDAL is to open it (bytes are the file itself as UTF-8).

    `count`: features that it must give, None where nobody knows; `ids` of them, None of a file too large to
    look into.
    """

    given: str | bytes
    count: int | None = None
    ids: list[Any] | None = None
    system: Any = None
    """What it says of its system of coordinates."""


@dataclass(frozen=True)
class _Text:
    """A text of JSON: the line in which it begins, what stands before it, what is written, what it says."""

    line: int
    before: str
    written: str
    value: Any


def look(file: File, given: str | bytes) -> Look:
    """Look into a file of GeoJSON by a parser of our own; a sequence is rewritten as one collection.

    Raises BadInput where a text or a member is no feature or no JSON, has an id that is none, or holds what
    GDAL would drop.
    """
    content = _content(file, given)
    if content is None:
        with _stream(file, given) as stream:
            return Look(given, _counted(file, stream))
    json_values.check_texts(file, content)
    whole = _parsed(content)
    if whole is None:
        with io.BytesIO(content) as stream:
            texts = [(_as_feature(one), one.value) for one in _members(file, stream)]
        if len(texts) > 1:
            return _sequence(file, *zip(*texts, strict=True))
        whole = texts[0][1] if texts else None
    made = _single(file, given, whole)
    return replace(made, system=whole.get("crs")) if isinstance(whole, dict) else made


def _as_feature(text: _Text) -> str:
    """Return a text of a sequence as a feature: a shape may stand there by itself."""
    is_shape = text.value.get("type") != "Feature" if isinstance(text.value, dict) else False
    return (
        f'{{"type": "Feature", "properties": {{}}, "geometry": {text.written}}}' if is_shape else text.written
    )


def _sequence(file: File, texts: Sequence[str], values: Sequence[Any]) -> Look:
    """Return a sequence as a collection, of which GDAL guesses no days and cuts no numbers."""
    feature_ids.check(ids := [_id(one) for one in values])
    json_values.check_features(file, list(values))
    mixed = json_values.truths_beside_numbers(values)
    if mixed or feature_ids.of_several_kinds(ids):
        texts = [json.dumps(_with_texts(json.loads(one), mixed)) for one in texts]
    whole = '{"type": "FeatureCollection", "features": [' + ",\n".join(texts) + "]}"
    return Look(whole.encode("utf-8", "replace"), len(ids), ids)


def _single(file: File, given: str | bytes, whole: Any) -> Look:
    """Look at the only text of a file."""
    if not isinstance(whole, dict) or whole.get("type") != "FeatureCollection":
        feature_ids.check(ids := [_id(whole)])
        json_values.check_features(file, [one for one in [whole] if _is_feature(one) and "crs" not in one])
        return Look(given, ids=ids)
    inside = whole["features"] if isinstance(whole.get("features"), list) else []
    strange = [at for at, one in enumerate(inside, 1) if not _is_feature(one)]
    if strange:
        places = ", ".join(map(str, strange[:5])) + " …" * (len(strange) > 5)
        told = f"{len(strange)} of its {len(inside)} members are no features (number {places})"
        raise BadInput("file", f'{told}: each needs "type": "Feature"; correct them or take them out')
    feature_ids.check(ids := [_id(one) for one in inside])
    json_values.check_features(file, inside)
    mixed = json_values.truths_beside_numbers(inside)
    if mixed or feature_ids.of_several_kinds(ids):
        given = json.dumps(whole | {"features": [_with_texts(one, mixed) for one in inside]}).encode()
    return Look(given, len(inside), ids)


def _id(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else None


def _with_texts(feature: dict[str, Any], mixed: frozenset[str]) -> dict[str, Any]:
    """Return a feature with its id and its `mixed` properties as texts: GDAL reads several kinds as one."""
    said = feature_ids.spelt(feature.get("id"))
    if said is not None:
        feature = feature | {"id": said}
    properties = feature.get("properties")
    if not mixed or not isinstance(properties, dict):
        return feature
    texts = {name: _spelt(properties[name]) for name in mixed & properties.keys()}
    return feature | {"properties": properties | texts}


def _spelt(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _is_feature(member: Any) -> bool:
    return isinstance(member, dict) and member.get("type") == "Feature"


def _content(file: File, given: str | bytes) -> bytes | None:
    with _stream(file, given) as stream:
        content = stream.read(MOST_READ + 1)
    return content if len(content) <= MOST_READ else None


def _stream(file: File, given: str | bytes) -> IO[bytes]:
    return io.BytesIO(given) if isinstance(given, bytes) else file.open()


def _parsed(content: bytes) -> Any:
    """Return a file's only text, None where it is a sequence of them, or no JSON as the standard has it."""
    try:
        return orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        return None


def _counted(file: File, stream: IO[bytes]) -> int | None:
    """Return how many texts a large file holds, None where its first is too large to say.

    Raises BadInput where GDAL would not read each of them; the file is too large to be rewritten.
    """
    count, strange = 0, 0
    for count, text in enumerate(_members(file, stream), 1):
        as_gdal_reads = _BEFORE_FIRST if count == 1 else _BEFORE
        if not strange and not (as_gdal_reads.fullmatch(text.before) and "\n" not in text.written):
            strange = text.line
    if count > 1 and strange:
        told = (
            f"{file.name} is larger than {MOST_READ >> 20} MB, and line {strange} does not hold one feature"
        )
        raise BadInput("file", f"{told} alone, in UTF-8 without a mark; write it so, or split it")
    return count if count > 1 else None


def _members(file: File, stream: IO[bytes]) -> Iterator[_Text]:
    """Yield the texts of a file. Raises BadInput where one of several is no feature."""
    texts = _texts(file, stream)
    first = next(texts, None)
    if first is None:
        return
    yield first
    for one in texts:
        _check_member(file, first)
        _check_member(file, one)
        yield one


def _check_member(file: File, text: _Text) -> None:
    kind = text.value.get("type") if isinstance(text.value, dict) else None
    if kind in _KINDS:
        return
    what = f"a {kind}" if kind else " ".join(text.written.split())[:40]
    raise BadInput(
        "file",
        f"{file.name} holds several texts of JSON, of which that in line {text.line} is no feature ({what}); "
        "correct it or take it out",
    )


def _texts(file: File, stream: IO[bytes]) -> Iterator[_Text]:
    """Yield the texts of JSON in a file, none where the first is too large to be read.

    Raises BadInput where something else than a text begins, or one does not end.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held, at, line, some, ended = "", 0, 1, False, False
    while not ended:
        block = stream.read(max(_BLOCK, len(held) - at))
        held, at, ended = held[at:] + decoder.decode(block, final=not block), 0, not block
        while (end := _end(held, begin := _begin(held, at))) is not None:
            line += _breaks(held, at, begin)
            yield _Text(line, held[at:begin], held[begin : end[0]], end[1])
            line += _breaks(held, begin, end[0])
            at, some = end[0], True
        if len(held) - at > MOST_READ and not some:
            return
    if begin < len(held):
        wrong = _wrong(held, begin)
        first, last = (line + _breaks(held, at, to) for to in (begin, wrong))
        place = f"line {first}" if first == last else f"lines {first} to {last}"
        told = f"{file.name} is no JSON in {place} ({_short(held, wrong)})"
        raise BadInput("file", f"{told}: it is cut short or broken; get it again")


def _wrong(held: str, begin: int) -> int:
    """Return where a text that is none goes wrong."""
    try:
        _DECODER.raw_decode(held, begin)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):  # a number too long, brackets too deep
        pass
    return begin


def _begin(held: str, at: int) -> int:
    """Return where the next text begins."""
    between = _BETWEEN.match(held, at)
    return between.end() if between else at


def _end(held: str, begin: int) -> tuple[int, Any] | None:
    """Return where a text ends and what it says, None where none does."""
    if begin == len(held):
        return None
    try:
        value, end = _DECODER.raw_decode(held, begin)
    except (ValueError, RecursionError):
        return None
    return end, value


def _breaks(held: str, begin: int, end: int) -> int:
    """Return how many lines end within a part of a text."""
    count = held.count("\n", begin, end)
    return count + held.count("\r", begin, end) - held.count("\r\n", begin, end)


def _short(held: str, begin: int) -> str:
    words = " ".join(held[begin : begin + 60].split())
    return f"{words[:40]}…" if len(words) > 40 else words or "its end"
