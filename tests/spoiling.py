"""Values, headers and bodies that no honest caller sends, put into requests that were good."""

from collections.abc import Callable
from random import Random
from typing import Any

from tests.operations import LAT, LON, Json, Request

NUMBERS = (
    "9" * 20, "9" * 5000, "-1", "0", "1e308", "-1e308", "1e999", "NaN", "Infinity", "-Infinity", "0.1",
    "1_000",
    "٣", "0x10", "9007199254740993", "2147483648", "-2147483649", "12345678901234567", " 1", "+1", "1,5", "",
)  # fmt: skip
TIMES = (
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01", "9999-12-31", "10000-01-01",
    "2025-02-30", "2025-13-01", "2025-01-01T25:00:00", "2025-01-01T00:00:60Z", "2025-01-01T00:00:00+99:99",
    "2025-01-01T00:00:00+08", "2025-01-01T00:00:00-00", "2025-01-01 00:00:00+24:00", "2025-W01-1", "../..",
    "2025-06-01T00:00:00Z/2025-01-01T00:00:00Z", "-1e20", "99999999999999", "1582-10-10",
    "2200-12-31T23:59:59Z",
    "1900-01-01T00:00:00+23:59", "2025-01-01T00:00:00.1234567891Z", "/", "../", "/..",
)  # fmt: skip
WORDS = (
    "a\0b", "\0", "\ud800", "a\udfff", "f" * 17, "8f" * 8, "600090378170794000", "x" * 10_000, "网" * 500,
    " ",
    "'", "%", "%00", "\\", "\u202e", "\ufeff", "\ue000", "\ufffd", "é" * 3, "e\u0301", "null", "=1+1", "T1\n",
    "café".encode("utf-16").decode("latin-1"), "网格".encode("gb18030").decode("latin-1"), "../../etc/passwd",
    "a' = 'a", "code = 'x' AND", "(" * 400, "NOT " * 200 + "a = 1", "S_INTERSECTS(geom, POINT(1e308 0))",
    "a.b.c", "0,0,0", "1e308,0,1,1", "nan,nan,nan,nan", "9,9,1,1", "-180,-90,180,90,0", "💥" * 50,
)  # fmt: skip
TEXTS = NUMBERS + TIMES + WORDS


def _deep(depth: int) -> Json:
    made: Json = 1
    for _ in range(depth):
        made = [made]
    return made


def _ring(*places: tuple[float, float]) -> Json:
    return {"type": "Polygon", "coordinates": [[list(place) for place in places]]}


SHAPES: tuple[Json, ...] = (
    {"type": "Point"}, {"type": "LineString", "coordinates": [[1e308, 0], [0, "a"]]},
    {"type": "LineString", "coordinates": [[LON, LAT], [LON, LAT]]}, {"type": "Polygon",
    "coordinates": _deep(40)},
    {"type": "GeometryCollection", "geometries": []}, {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[]]}, {"type": "MultiLineString", "coordinates": [[], [[0, 0]]]},
    {"type": "CircularString", "coordinates": [[0, 0], [1, 1]]}, {"type": ["Point"], "coordinates": {}},
    _ring((LON, LAT), (LON, LAT), (LON, LAT), (LON, LAT)),
    _ring((LON, LAT), (LON + 1e-9, LAT), (LON, LAT + 1e-9), (LON, LAT)),
    _ring((LON, LAT), (LON + 1, LAT + 1), (LON + 1, LAT), (LON, LAT + 1), (LON, LAT)),
    _ring((LON, LAT), (LON + 1, LAT), (LON, LAT + 1)), _ring((181, 91), (182, 91), (181, 92), (181, 91)),
    {"type": "LineString", "coordinates": [[LON + n * 1e-6, LAT] for n in range(6000)]},
)  # fmt: skip
VALUES: tuple[Json, ...] = (
    *TEXTS, *SHAPES, None, True, False, -1, 0, 10**19, -(10**19), 10**400, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), [], {}, [None], [[]], {"a\0b": 1}, [1e308, 1e308], ["a\0b"], ["\ud800"],
    ["x"] * 3000,
    _deep(50), _deep(900), {"a": _deep(60)},
)  # fmt: skip
HEADERS: tuple[tuple[str, str], ...] = (
    ("Accept", "text/html"), ("Accept", "*/*;q=nan, application/" + "x" * 3000), ("Accept", "ÿ"),
    ("Accept", ""),
    ("Accept-Encoding", "gzip;q=9e999, br;q=-1, zstd;q="), ("Accept-Language", "zh;q=" + "9" * 3000),
    ("Range", "bytes=0-"), ("Range", "bytes=" + "0-1," * 2000), ("Range", "bytes=9" * 30), ("Range",
    "rows=1-2"),
    ("If-None-Match", '"' + "a" * 9000), ("If-None-Match", "*, W/"), ("If-Match", '"x"'), ("If-Range", "x"),
    ("If-Modified-Since", "Thu, 99 Foo 99999 99:99:99 GMT"), ("Content-Length", "-5"), ("Content-Length",
    "9" * 30),
    ("Content-Length", "٣".encode().decode("latin-1")), ("Transfer-Encoding", "identity"),
    ("Content-Type", "application/json; charset=utf-7"), ("Content-Type", "text/csv"), ("Content-Type", ""),
    ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "multipart/form-data; boundary="),
    ("Content-Type", "multipart/form-data; boundary=" + "x" * 300), ("Content-Type", "json"),
    ("Content-Type", "application/vnd.a+json"), ("Content-Encoding", "gzip"), ("Idempotency-Key", "x" * 201),
    ("Idempotency-Key", ""), ("Idempotency-Key", "\x00"), ("Idempotency-Key", "same"), ("Idempotency-Key",
    "ÿ" * 200),
    ("Cookie", "safetymap=" + "x" * 9000), ("Cookie", "; ".join(f"safetymap={n}" for n in range(500))),
    ("Cookie", "__Host-safetymap=ÿ; =; ;;"), ("Host", "evil.example"), ("Host", "a b<c>"), ("Host", "[::1"),
    ("Host", "127.0.0.1:99999"), ("X-CSRF-Token", "ÿ"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site"),
    ("Authorization", "Bearer ÿ"), ("Authorization", "Bearer a.b.c"), ("Authorization",
    "Bearer " + "." * 999),
    ("Authorization", "Basic !!!"), ("Authorization", "Bearer"), ("Authorization", "Bearer a..c"),
    ("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."), ("Last-Event-ID", "9" * 40), ("Last-Event-ID",
    "\x00"),
    ("X-Forwarded-For", "127.0.0.1, " * 300), ("X-HTTP-Method-Override", "DELETE"), ("Expect",
    "100-continue"),
    ("Upgrade", "websocket"), ("TE", "trailers"), ("Prefer", "return=minimal"), ("Accept-Charset", "utf-7"),
)  # fmt: skip
_UNKNOWN = (
    "nonsense",
    "Q",
    "a\0b",
    "\ud800",
    "limit ",
    "from_",
    "",
    "q[]",
    "__proto__",
    "lon;lat",
    "x" * 5000,
)
_BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b""), ("application/json", b"{"), ("application/json", b"\xff\xfe{\x00}\x00"),
    ("application/json", b'{"key": "\xb0\xa1"}'), ("application/json", b'\xef\xbb\xbf{"q": 1}'),
    ("application/json", b"[" * 100_000), ("application/json", b'{"lon": ' + b"9" * 5000 + b"}"),
    ("application/json", b'{"to": 1, "to": 2}'), ("application/json", b"{'to': 1}"), ("text/plain", b"{}"),
    ("application/json", b'{"code": NaN, "q": -Infinity, "r": 1e999}'), ("application/json", b"null {}"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a\0"; filename="../..\\\xff\r\n"\r\n\r\n1\r\n--x--',
    ),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data"),
    ("application/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
)  # fmt: skip


def _text(rng: Random, name: str) -> str:
    """A bad text, half of the time one of the kind that the name takes."""
    is_time = name in {"from", "to", "on", "at", "start", "end", "datetime", "effective_on"} or "_at" in name
    return rng.choice(rng.choice((TEXTS, TIMES if is_time else NUMBERS + WORDS)))


def parameter(rng: Random, asked: Request, name: str) -> None:
    """Spoil the value of a parameter of path or query, whichever has it."""
    if name in asked.names:
        asked.names[name] = _text(rng, name)
    asked.query = [(n, _text(rng, n) if n == name else value) for n, value in asked.query]


def unknown(rng: Random, asked: Request, _: str) -> None:
    """Add a parameter that nothing takes."""
    asked.query.append((rng.choice(_UNKNOWN), "1"))


def repeated(rng: Random, asked: Request, _: str) -> None:
    """Give a parameter twice."""
    asked.query += [rng.choice(asked.query)] if asked.query else []


def header(rng: Random, asked: Request, name: str) -> None:
    """Spoil a header of the operation, or send any that is odd."""
    odd = [one for one in HEADERS if one[0].lower() == name] or HEADERS
    asked.headers.pop(name, None)
    asked.headers.update([rng.choice(odd)])


def body_field(rng: Random, asked: Request, name: str) -> None:
    """Spoil a field of the body, or something within it."""
    value = asked.body.get(name) if isinstance(asked.body, dict) else None
    if isinstance(asked.body, dict):
        asked.body[name] = within(rng, value) if rng.random() < 0.4 else _value(rng, name)


def _value(rng: Random, name: str) -> Json:
    return rng.choice((_text(rng, name), rng.choice(VALUES), rng.choice(SHAPES)))


def within(rng: Random, value: Json) -> Json:
    """A copy of a value in which one leaf, or what it lies in, is spoiled."""
    if not isinstance(value, list | tuple | dict) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    at = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(len(copy))
    copy[at] = within(rng, copy[at])
    return copy


def unknown_field(rng: Random, asked: Request, _: str) -> None:
    """Add a field that nothing takes."""
    if isinstance(asked.body, dict):
        asked.body = asked.body | {rng.choice(_UNKNOWN): rng.choice(VALUES)}


def whole_body(rng: Random, asked: Request, _: str) -> None:
    """Send another body: no JSON, or no object."""
    if asked.media and rng.random() < 0.5:
        asked.body = rng.choice(VALUES)
    else:
        asked.media, asked.body = rng.choice(_BODIES)


SPOILERS: dict[str, Callable[[Random, Request, str], None]] = {
    "path": parameter, "query": parameter, "header": header, "field": body_field, "unknown": unknown,
    "repeated": repeated, "odd header": header, "unknown field": unknown_field, "body": whole_body,
}  # fmt: skip
"""By what a target names: each makes a good request bad."""
