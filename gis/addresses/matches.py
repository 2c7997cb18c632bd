"""What a text may mean, and which of it fits best."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """What a text may mean and how well it fits; `lon`, `lat` in WGS-84 degrees; `code` of a grid."""

    kind: str
    id: int | None
    address: str
    code: str | None
    score: float
    matched_by: str
    lon: float
    lat: float


@dataclass(frozen=True)
class Found:
    """Matches, best first, and whether there are more of them than were looked at or are given."""

    matches: list[Match]
    more: bool

    @property
    def tied(self) -> int:
        """How many of the matches are equally good, none better."""
        return sum(match.score == self.matches[0].score for match in self.matches)


def best(found: list[Match]) -> list[Match]:
    """Return each thing once, as it fits best; best first, then by its text."""
    kept: dict[tuple[object, ...], Match] = {}
    for match in sorted(found, key=lambda match: (-match.score, _natural(match.address), match.id or 0)):
        unlike = (match.id,) if match.id is not None else (match.lon, match.lat)
        kept.setdefault((match.kind, *unlike), match)
    return list(kept.values())


def _natural(text: str) -> list[str | int]:
    """Return a key by which School 2 comes before School 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
