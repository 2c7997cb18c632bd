"""What can go wrong, as two-line classes; the floors above decide how to say it."""

import math
from typing import Any


class Problem(Exception):  # noqa: N818 - it is a problem told to a person, named as RFC 9457 names it
    """Something a person can put right; its text says what is wrong and what to do."""


class NotFound(Problem):
    """The thing asked for does not exist, or not on that day or revision."""


class BadInput(Problem):
    """A value is not usable; `field` names the offending parameter or column."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


class BadParameter(BadInput):
    """A parameter that is not taken, or not so often; `field` names it."""


class ClusterMissing(Problem):
    """PostgreSQL or PostGIS is not installed."""


class ClusterFailed(Problem):
    """The private cluster does not start, stop or answer; the text carries the server's own words."""


class BackupFailed(Problem):
    """A backup, a restore or a swap did not go through; the text says why and what to do."""


class TileOutside(NotFound):
    """There is no such tile in the world, or the layer has none at that zoom."""


class RoleMissing(Problem):
    """The database lacks the unprivileged role that the service works as."""


class DatabaseUnfit(Problem):
    """The database is not what we need; the text says what is lacking and the SQL that mends it."""


class NewerStore(Problem):
    """The store was made by a newer program than this one."""


class Unknown(Problem):
    """Nobody is known by the credentials that came, or none came where some are needed."""


class MustWait(Problem):
    """What failed too often may be tried again after some seconds."""

    def __init__(self, detail: str, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        minutes = math.ceil(self.seconds / 60)
        super().__init__(f"{detail}; wait {f'{self.seconds} s' if self.seconds < 120 else f'{minutes} min'}")


class NotRecorded(Problem):
    """The audit cannot be written."""


class SigningKeyLost(NotRecorded):
    """The data directory lacks the key that signed the audit; the text says the ways out."""


class Busy(Problem):
    """Too much is asked for at once."""


class NotReady(Problem):
    """The store lacks what every answer needs: the city, or its grids."""


class TileSlow(Problem):
    """A tile's query ran out of time."""


class SecretSealed(Problem):
    """A second factor cannot be read with the keys of this data directory."""


class Forbidden(Problem):
    """Whoever asks is known, and may not."""


class Emptied(Problem):
    """A step would leave a grid without any ground."""


class OtherRequest(BadInput):
    """What may come again as it was came again as something else; `field` names by what it was known."""


class Unconfirmed(Problem):
    """A line makes more pieces than are usually meant; `told` says how many to confirm."""

    def __init__(self, pieces: int) -> None:
        super().__init__(f"the line makes {pieces} pieces; send confirm_pieces: {pieces} if they are meant")
        self.told = {"pieces": pieces}


class NotDrawable(Problem):
    """A step would leave ground without an owner, with two, or with a border that crosses itself."""


class NotAnArchive(NotFound):
    """A file is no archive of tiles, or none that this service made."""


class Conflicted(Problem):
    """Grids that a plan changes were changed otherwise since; `told` has both versions of each."""

    def __init__(self, detail: str, conflicts: list[Any]) -> None:
        super().__init__(detail)
        self.told = {"conflicts": conflicts}


class Unexplained(Problem):
    """A publication would change areas that no step of its plan draws; `told` names the grids."""

    def __init__(self, detail: str, changes: list[Any]) -> None:
        super().__init__(detail)
        self.told = {"changes": changes}


class PublicationSlow(Problem):
    """A publication ran out of its time; nothing of it was written."""


class Faulty(Problem):
    """A plan has errors; `told` has them with their geometry."""

    def __init__(self, detail: str, faults: dict[str, Any]) -> None:
        super().__init__(detail)
        self.told = {"faults": faults}
