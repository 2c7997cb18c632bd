"""One grid code's truth over the days: pure functions that lay a new version over what is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any


@dataclass(frozen=True)
class Version:
    """What holds from `first` until before `after` (None: for ever); `row` is its id in the store, if any.

    `content` is compared as a whole: level, parent, name, kind and the polygon as WKB.
    """

    first: date | None
    after: date | None
    content: tuple[Any, ...]
    row: int | None = None

    @property
    def start(self) -> date:
        """The first day, as a date that can be compared."""
        return self.first or date.min

    @property
    def end(self) -> date:
        """The day after the last, as a date that can be compared."""
        return self.after or date.max


def overlay(known: Sequence[Version], new: Version) -> list[Version]:
    """Return the truth once `new` holds in its days: older versions cut back, equal neighbours joined."""
    pieces = [piece for old in known for piece in _outside(old, new)]
    ordered = sorted([*pieces, new], key=lambda version: version.start)
    joined: list[Version] = []
    for version in ordered:
        if joined and joined[-1].content == version.content and joined[-1].end == version.start:
            joined[-1] = replace(joined[-1], after=version.after, row=None)
        else:
            joined.append(version)
    return [_same_as_before(version, known) for version in joined]


def _outside(old: Version, new: Version) -> list[Version]:
    """Return what of `old` lies before and after `new`."""
    if old.end <= new.start or new.end <= old.start:
        return [old]
    before = [replace(old, after=new.first, row=None)] if old.start < new.start else []
    behind = [replace(old, first=new.after, row=None)] if new.end < old.end else []
    return before + behind


def _same_as_before(version: Version, known: Sequence[Version]) -> Version:
    """Return the version with the id of the stored one that says the same."""
    same = (
        old.row
        for old in known
        if (old.start, old.end, old.content) == (version.start, version.end, version.content)
    )
    return replace(version, row=next(same, None))


def in_force(known: Sequence[Version], day: date) -> Version | None:
    """Return the version that holds on a day."""
    return next((version for version in known if version.start <= day < version.end), None)


def dated(new: Version, known: Sequence[Version], today: date) -> Version:
    """Return a version whose first day nobody told with one.

    A new code holds since ever, and so what says the same as the version in force; a change begins today.
    What ended by today is older than what is known: it holds since the end of what is known before it, or
    since ever, and as long as the version that ends on its day, of which it is a correction. Raises
    ValueError where its last days are known already as those of another.
    """
    if new.first is not None or not known:
        return new
    now = in_force(known, today)
    if now is not None and now.content == new.content and now.start < new.end:
        return replace(new, first=now.first, after=new.after or now.after)
    if new.end > today:
        return replace(new, first=today)
    last = in_force(known, new.end - timedelta(days=1))
    if last is None:
        return replace(new, first=max((one.end for one in known if one.start < new.end), default=None))
    if last.content != new.content and last.end != new.end:
        raise ValueError(
            f"is known on the days before {new.after} already: say from when it holds by valid_from "
            "(an early day, such as 1900-01-01, where nobody knows)"
        )
    return replace(new, first=last.first)


def ended(known: Sequence[Version], day: date) -> list[Version]:
    """Return the truth of a code that nothing holds of from a day on."""
    cut = (replace(old, after=day, row=None) if old.end > day else old for old in known if old.start < day)
    return list(cut)
