"""A clock that stands still, for what depends on the day it is."""

from datetime import datetime, tzinfo

import pytest

MODULES = ("gis.record_span", "layers.risk_past", "layers.surveillance")
"""Those that say how far the records reach, and what rests on it."""


def stop(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let it be this moment for MODULES."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return moment.astimezone(tz)

    for module in MODULES:
        monkeypatch.setattr(f"{module}.datetime", Stopped)
