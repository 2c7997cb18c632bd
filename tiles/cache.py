"""Tiles kept in memory until a row that they show changes; used from one thread, the event loop."""

import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from gis.squares import Box
from tiles.encoding import IDENTITY, SMALL
from tiles.tile import Tile

_OVERHEAD = 1_500
"""Bytes that an entry costs beside its body: key, places in the index, headers."""
_REMEMBERED = 10_000
"""Changes remembered to refuse what was rendered before them."""
_LARGE = bytes(SMALL)
_MERCATOR_MAX = math.tanh(math.pi)


@dataclass(frozen=True)
class Asked:
    """A tile asked for: the key that tells answers apart, and what touches it."""

    key: Hashable
    tile: Tile
    group: tuple[str, int]
    """Layer and zoom."""
    reads: frozenset[str]
    """Tables whose rows the tile shows or depends on."""
    margin: float
    """Sides of the tile beyond which no change is seen in it; the same for all of the group."""


@dataclass
class Kept:
    """An answer: the tile in the encodings that were asked for so far; empty when nothing lies in it."""

    asked: Asked
    tag: str
    """What the entity tags of its encodings are made of."""
    forms: dict[str, bytes] = field(default_factory=dict)

    def form(self, wanted: str) -> str | None:
        """Return the encoding to answer in; None where it has to be made first."""
        if wanted in self.forms:
            return wanted
        return IDENTITY if len(self.forms.get(IDENTITY, _LARGE)) < SMALL else None

    @property
    def size(self) -> int:
        """Bytes that it costs."""
        return _OVERHEAD + sum(map(len, self.forms.values()))


Change = tuple[int, str, Sequence[Box] | None]


class Cache:
    """Answers by key, the least recently used forgotten beyond `limit` bytes; off until `start`.

    After `stop` what was kept is stale: `get` has none of it, `stale` all, until the next `start`.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self.watched: frozenset[str] = frozenset()
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._index: dict[str, dict[tuple[str, int], dict[tuple[int, int], set[Hashable]]]] = {}
        self._margins: dict[tuple[str, int], float] = {}
        self._changes: deque[Change] = deque(maxlen=_REMEMBERED)
        self._moment = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def holds(self, group: tuple[str, int], place: tuple[int, int]) -> bool:
        """Say whether any answer is kept for a tile, whoever asked and however it was looked at."""
        return any(place in squares.get(group, ()) for squares in self._index.values())

    def start(self, watched: frozenset[str]) -> None:
        """Begin clean: from now on every change of the `watched` tables is told by `touch`."""
        self.watched = watched
        self._forget_all()

    def stop(self) -> None:
        """Take nothing more, and give out nothing as fresh: changes may go unheard."""
        self.watched = frozenset()
        self._changes.clear()
        self._moment += 1

    def _forget_all(self) -> None:
        self._kept.clear()
        self._index = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
        self._changes.clear()
        self._moment += 1
        self.size = 0

    def mark(self) -> int:
        """Return the moment before a render, to be handed to `keep`."""
        return self._moment

    def get(self, key: Hashable) -> Kept | None:
        """Return what is kept under a key."""
        return self._found(key) if self.watched else None

    def stale(self, key: Hashable) -> Kept | None:
        """Return what is kept under a key, or was so when changes ceased to be heard."""
        return self._found(key)

    def _found(self, key: Hashable) -> Kept | None:
        found = self._kept.get(key)
        if found:
            self._kept.move_to_end(key)
        return found

    def keep(self, kept: Kept, since: int) -> bool:
        """Keep an answer rendered after the moment `since`, unless a change touched it meanwhile."""
        asked = kept.asked
        if not asked.reads <= self.watched or self.touched(asked, since) or kept.size > self.limit:
            return False
        self._forget(asked.key)
        self._kept[asked.key] = kept
        self._margins[asked.group] = asked.margin
        for table in asked.reads:
            self._index[table][asked.group][asked.tile.x, asked.tile.y].add(asked.key)
        self._grow(kept.size)
        return True

    def add(self, kept: Kept, encoding: str, body: bytes) -> None:
        """Keep an answer in one encoding more."""
        known = self._kept.get(kept.asked.key) is kept and encoding not in kept.forms
        kept.forms[encoding] = body
        if known:
            self._grow(len(body))

    def _grow(self, size: int) -> None:
        self.size += size
        while self.size > self.limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        self.size -= kept.size
        place = kept.asked.tile.x, kept.asked.tile.y
        for table in kept.asked.reads:
            squares = self._index[table][kept.asked.group]
            squares[place].discard(key)
            if not squares[place]:
                del squares[place]

    def touch(self, table: str, boxes: Sequence[Box] | None) -> int:
        """Forget every tile that shows the table within the boxes (None: anywhere); return how many."""
        self._moment += 1
        self._changes.append((self._moment, table, boxes))
        stale = set(self._stale(table, boxes))
        for key in stale:
            self._forget(key)
        return len(stale)

    def _stale(self, table: str, boxes: Sequence[Box] | None) -> Iterator[Hashable]:
        for group, squares in self._index.get(table, {}).items():
            if boxes is None:
                yield from (key for keys in squares.values() for key in keys)
                continue
            for box in boxes:
                yield from _within(squares, _squares(box, group[1], self._margins[group]))

    def touched(self, asked: Asked, since: int) -> bool:
        """Say whether a change after the moment `since` may be seen in a tile."""
        if since < self._moment - len(self._changes):
            return True
        recent = (change for change in reversed(self._changes))
        for moment, table, boxes in recent:
            if moment <= since:
                return False
            if table in asked.reads and (boxes is None or any(_meets(box, asked) for box in boxes)):
                return True
        return False


Span = tuple[int, int, int, int]


def _within(squares: dict[tuple[int, int], set[Hashable]], span: Span) -> Iterator[Hashable]:
    """Yield the keys of the squares in a span, by whichever is the shorter way."""
    west, north, east, south = span
    if (east - west + 1) * (south - north + 1) > len(squares):
        for (x, y), keys in squares.items():
            if west <= x <= east and north <= y <= south:
                yield from keys
        return
    for x in range(west, east + 1):
        for y in range(north, south + 1):
            yield from squares.get((x, y), ())


def _meets(box: Box, asked: Asked) -> bool:
    west, north, east, south = _squares(box, asked.tile.z, asked.margin)
    return west <= asked.tile.x <= east and north <= asked.tile.y <= south


def _squares(box: Box, z: int, margin: float) -> Span:
    """Return the first and last column and row of tiles that show something of a box in degrees."""
    west, south, east, north = box
    side = 1 << z
    return (
        math.ceil(_column(west) * side - 1 - margin),
        math.ceil(_row(north) * side - 1 - margin),
        math.floor(_column(east) * side + margin),
        math.floor(_row(south) * side + margin),
    )


def _column(lon: float) -> float:
    return (lon + 180) / 360


def _row(lat: float) -> float:
    sine = math.sin(math.radians(max(-90.0, min(90.0, lat))))
    return 0.5 - math.atanh(max(-_MERCATOR_MAX, min(_MERCATOR_MAX, sine))) / (2 * math.pi)
