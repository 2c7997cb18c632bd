"""Which browsers may use the demo's log-ins: those in which a printed link, good once, was opened.

A link's token and a browser's cookie are kept as hashes, each an empty file's name: a token is exchanged for
a cookie by renaming, which only one of two callers can do, in whichever process of the service.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gis.access import digest
from gis.errors import NotReady, Unknown

FOLDER = "demo-access"
FRAGMENT = "demo"
"""The link's token is this member of its fragment, which browsers send to no server and no log holds."""


class DemoAccess:
    """The links and browsers of one start in demo mode, in a folder that only its owner reads."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self._links, self._browsers = self._folder / "links", self._folder / "browsers"
        self._address = self._folder / "address"

    @contextmanager
    def begun(self, address: str) -> Iterator[None]:
        """Begin anew at an address (http://127.0.0.1:8000); no link or browser outlives the block."""
        self.end()
        self._folder.mkdir(parents=True, mode=0o700)
        self._links.mkdir()
        self._browsers.mkdir()
        self._address.write_text(address)
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Forget all links and browsers."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def link(self) -> str:
        """Make a link that opens the log-ins in one browser, once. Raises NotReady outside demo mode."""
        token = secrets.token_urlsafe(24)
        try:
            address = self._address.read_text()
            (self._links / _name(token)).touch(mode=0o600)
        except FileNotFoundError as error:
            raise NotReady("no demo is being served; start one: make demo") from error
        return f"{address}/#{FRAGMENT}={token}"

    def open(self, token: str) -> str:
        """Exchange a link's token for a browser's cookie. Raises Unknown for one used up or never made."""
        cookie = secrets.token_urlsafe(32)
        try:
            (self._links / _name(token)).rename(self._browsers / _name(cookie))
        except FileNotFoundError as error:
            raise Unknown(
                "the link is of an earlier start or was used already; safetymap demo-link prints another"
            ) from error
        return cookie

    def is_open(self, cookie: str | None) -> bool:
        """Say whether a browser's cookie was given for a link."""
        return cookie is not None and (self._browsers / _name(cookie)).exists()


def _name(secret: str) -> str:
    return digest(secret).hex()
