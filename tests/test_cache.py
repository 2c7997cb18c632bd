"""Kept tiles: a change drops exactly those that hold it, nothing stale is taken in, bytes are bounded."""

import gzip

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tiles import encoding
from tiles.cache import _OVERHEAD, Asked, Cache, Kept
from tiles.tile import Tile

TABLES = frozenset({"buildings", "incidents", "grids"})


SHAPES, POINTS = 66 / 4096, 2 / 4096
"""Margins of tiles, as `tiles.mvt` tells them."""


def asked(tile: Tile, layer: str = "buildings", key: object = None) -> Asked:
    margin = POINTS if layer == "incidents" else SHAPES
    return Asked((layer, tile, key), tile, (layer, tile.z), frozenset({layer}), margin)


def made(of: Asked, size: int = 10) -> Kept:
    return Kept(of, "tag", {encoding.IDENTITY: bytes(size)})


@pytest.fixture
def cache() -> Cache:
    made = Cache(1 << 20)
    made.start(TABLES)
    return made


def _fill(cache: Cache, z: int, layer: str = "buildings") -> list[Asked]:
    """Keep a block of tiles around 113 E 27 N, or the whole world at small zooms."""
    side = 1 << z
    x, y = int((113 + 180) / 360 * side), int(0.4217 * side)
    around = {((x + dx) % side, (y + dy) % side) for dx in range(-6, 7) for dy in range(-6, 7)}
    kept = [asked(Tile(z, *place), layer) for place in sorted(around)]
    for one in kept:
        assert cache.keep(made(one), cache.mark())
    return kept


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


_LON, _LAT = st.floats(112.9, 113.1), st.floats(26.9, 27.1)


@given(
    z=st.integers(0, 18), west=_LON, south=_LAT, width=st.floats(0, 0.2), height=st.floats(0, 0.2),
    layer=st.sampled_from(["buildings", "incidents"]),
)  # fmt: skip
def test_a_change_drops_the_tiles_whose_box_it_meets(
    z: int, west: float, south: float, width: float, height: float, layer: str
) -> None:
    """Against the tiles' own boxes: none that meets the change stays, none goes that is further away.

    A shape is seen in a tile's margin, a point is not.
    """
    cache = Cache(1 << 22)
    cache.start(TABLES)
    kept = _fill(cache, z, layer)
    box = (west, south, west + width, south + height)
    cache.touch(layer, [box])
    seen, unseen = (64, 70) if layer == "buildings" else (0, 4)
    for one in kept:
        stays = one.key in cache
        if _overlap(box, one.tile.bounds(buffer=seen / 4096)):
            assert not stays
        if not _overlap(box, one.tile.bounds(buffer=unseen / 4096)):
            assert stays


def test_a_change_of_another_table_drops_nothing(cache: Cache) -> None:
    kept = _fill(cache, 14)
    assert cache.touch("incidents", None) == 0
    assert cache.touch("unheard-of", [(-180, -90, 180, 90)]) == 0
    assert all(one.key in cache for one in kept)
    assert cache.touch("buildings", None) == len(kept)
    assert cache.size == 0


def test_every_view_of_a_tile_goes_with_it(cache: Cache) -> None:
    one, other = (asked(Tile(3, 6, 3), key=view) for view in ("mine", "yours"))
    for each in (one, other):
        cache.keep(made(each), cache.mark())
    assert cache.touch("buildings", [(113, 27, 113, 27)]) == 2


def test_what_was_rendered_before_a_change_is_not_taken_in(cache: Cache) -> None:
    here, elsewhere = asked(Tile(14, 13334, 6906)), asked(Tile(14, 0, 0))
    since = cache.mark()
    middle = Tile(14, 13334, 6906).bounds()[:2] * 2
    cache.touch("buildings", [middle])
    assert not cache.keep(made(here), since)
    assert cache.keep(made(elsewhere), since)
    assert cache.keep(made(here), cache.mark())


def test_changes_that_are_forgotten_count_as_having_touched(cache: Cache) -> None:
    since = cache.mark()
    for _ in range(10_000):
        cache.touch("incidents", [(0, 0, 0, 0)])
    assert cache.keep(made(asked(Tile(1, 0, 0))), since)
    cache.touch("incidents", [(0, 0, 0, 0)])
    assert not cache.keep(made(asked(Tile(1, 0, 0))), since)


def test_cut_off_it_keeps_nothing(cache: Cache) -> None:
    one = asked(Tile(1, 0, 0))
    since = cache.mark()
    cache.keep(made(one), since)
    cache.stop()
    assert cache.get(one.key) is None
    assert not cache.keep(made(one), cache.mark())
    cache.start(TABLES)
    assert not cache.keep(made(one), since), "rendered before it began to hear again"
    assert cache.keep(made(one), cache.mark())


def test_a_table_that_announces_nothing_is_not_relied_on(cache: Cache) -> None:
    assert not cache.keep(made(asked(Tile(1, 0, 0), "phones")), cache.mark())


def test_bytes_are_bounded_and_the_least_used_go_first() -> None:
    cache = Cache(3 * (_OVERHEAD + 100))
    cache.start(TABLES)
    kept = [asked(Tile(2, x, 0)) for x in range(4)]
    for one in kept[:3]:
        cache.keep(made(one, 100), cache.mark())
    assert cache.get(kept[0].key)
    cache.keep(made(kept[3], 100), cache.mark())
    assert [one.key in cache for one in kept] == [True, False, True, True]
    found = cache.get(kept[0].key)
    assert found
    cache.add(found, "gzip", bytes(_OVERHEAD + 100))
    assert [one.key in cache for one in kept] == [True, False, False, True], "a second form needs room too"
    assert cache.size <= cache.limit
    assert not cache.keep(made(kept[1], cache.limit), cache.mark()), "too large for all of it"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3000), st.integers(0, 15)), max_size=60))
def test_the_size_is_that_of_what_is_kept(steps: list[tuple[int, int, int]]) -> None:
    cache = Cache(40_000)
    cache.start(TABLES)
    for what, size, x in steps:
        one = asked(Tile(4, x, 0))
        found = cache.get(one.key)
        if what == 0:
            cache.touch("buildings", [(x * 22.5 - 179, 80, x * 22.5 - 179, 80)])
        elif what == 1 and found:
            cache.add(found, "gzip", bytes(size))
        else:
            cache.keep(made(one, size), cache.mark())
        assert cache.size == sum(kept.size for kept in cache._kept.values()) <= cache.limit
        indexed = {
            key for places in cache._index["buildings"].values() for keys in places.values() for key in keys
        }
        assert indexed == set(cache._kept)


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        ("", "identity"), ("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"),
        ("br;q=0.5, gzip", "gzip"), ("zstd;q=0, br;q=0", "identity"), ("*", "zstd"), ("*;q=0", "identity"),
        ("identity", "identity"), ("identity;q=0.5, gzip", "gzip"), ("gzip;q=0.2, identity", "identity"),
        ("GZIP ; q=1", "gzip"), ("gzip;q=x", "identity"), ("deflate", "identity"),
    ],
)  # fmt: skip
def test_the_encoding_is_one_that_the_client_takes(accepted: str, form: str) -> None:
    assert encoding.choose(accepted) == form


@given(st.binary(max_size=2000))
def test_encodings_are_those_of_other_libraries(raw: bytes) -> None:
    made = {form: encode(raw) for form, encode in encoding.ENCODERS.items()}
    assert gzip.decompress(made["gzip"]) == raw
    assert brotli.decompress(made["br"]) == raw
    assert zstandard.decompress(made["zstd"], max_output_size=5000) == raw
    assert all(encoding.decode(body, form) == raw for form, body in made.items())


def test_small_answers_stay_as_they_are() -> None:
    small, large = made(asked(Tile(0, 0, 0)), encoding.SMALL - 1), made(asked(Tile(0, 0, 0)), encoding.SMALL)
    assert small.form("br") == "identity"
    assert large.form("br") is None
    assert large.form("identity") == "identity"
