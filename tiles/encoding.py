"""Content encodings of tiles: what a client takes, and bytes into it and back (RFC 9110, 8.4 and 12.5.3)."""

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

import brotli
import zstandard
from isal import igzip

IDENTITY = "identity"
SMALL = 200
"""Bytes that are not worth compressing: they fit one packet either way."""


def _gzip(raw: bytes) -> bytes:
    return igzip.compress(raw, 2, mtime=0)


def _br(raw: bytes) -> bytes:
    return bytes(brotli.compress(raw, quality=5))


def _zstd(raw: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(raw)


ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": _zstd, "br": _br, "gzip": _gzip, IDENTITY: bytes,
}  # fmt: skip
"""By the order in which we prefer them (docs/decisions/0052)."""
_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
    "br": brotli.decompress,
    "gzip": lambda body: zlib.decompress(body, wbits=31),
    IDENTITY: bytes,
}


def decode(body: bytes, encoding: str) -> bytes:
    """Return what was encoded."""
    return _DECODERS[encoding](body)


@lru_cache(maxsize=1024)
def choose(accepted: str, offered: tuple[str, ...] = ("zstd", "br", "gzip")) -> str:
    """Return the one of `offered`, by preference, that an Accept-Encoding header takes; else identity."""
    told = dict(map(_weight, filter(None, accepted.lower().replace(" ", "").split(","))))
    otherwise = told.get("*", 0.0)
    weights = {name: told.get(name, otherwise) for name in offered}
    best = max(weights, key=lambda name: weights[name])  # the first of equals
    return best if weights[best] > 0 and weights[best] >= told.get(IDENTITY, 0.0) else IDENTITY


def _weight(part: str) -> tuple[str, float]:
    name, _, quality = part.partition(";q=")
    try:
        return name, float(quality or 1)
    except ValueError:
        return name, 0.0
