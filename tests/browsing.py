"""A service over a test's database, in a process of its own, and Debian's Chromium to look at it."""

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyotp
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from api.connections import OPTIONS
from gis import second_factor
from gis.access import NewKey
from gis.settings import settings as chosen
from tests import forking

SOFTWARE_GL = ["--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DRAWN = "Boolean(window.safetymap?.map.loaded() && window.safetymap.map.areTilesLoaded())"
"""Whether the page's map shows everything it asked for."""
QUIET = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextlib.contextmanager
def serving(database: str, folder: Path, **more: str) -> Iterator[str]:
    """Where the service listens, over a database, until the block ends; its log lies in the folder.

    `more`: settings by their variables. Second factors that this process seals open there, too.
    """
    port = free_port()
    settings = {"SAFETYMAP_DATABASE_URL": database, "SAFETYMAP_DATA_DIR": str(folder), **more}
    own = chosen().data_dir
    second_factor.ensure(own)
    shutil.copy(own / second_factor.FILE, folder)
    log = folder / "service.log"
    service = forking.start(
        partial(uvicorn.run, "api.main:make_app", factory=True, port=port, **OPTIONS), settings, log
    )
    try:
        wait(lambda: not service.is_alive() or listens(port), 600)
        assert service.is_alive(), log.read_text()[-2000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.join(20)
        assert service.exitcode is not None, "the service does not end"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, drawing WebGL2 in software."""
    args = ["--no-sandbox", "--disable-quic", *SOFTWARE_GL, *QUIET]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=args)
        yield started
        started.close()


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Whether anybody answers on a port of this machine."""
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait(ready: Callable[[], object], seconds: float = 90) -> None:
    """Ask until the answer is yes; a loaded machine is slow, so the bound is wide."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


def until(page: Page, script: str) -> None:
    """Wait for the page to say yes; the page's own policy on scripts is not in the way of this question."""
    wait(lambda: _says(page, script))


def _says(page: Page, script: str) -> object:
    """What the page says; nothing while it is being loaded anew."""
    try:
        return page.evaluate(script)
    except Error as error:
        if "context was destroyed" not in error.message:
            raise
        return None


def window(browser: Browser, locale: str = "zh-CN", width: int = 1280, height: int = 800) -> BrowserContext:
    """A window of somebody who asked their system for little motion: each frame is drawn in software here."""
    size = {"width": width, "height": height}
    made = browser.new_context(viewport=size, locale=locale, reduced_motion="reduce")  # type: ignore[arg-type]
    made.set_default_timeout(150_000)
    return made


def sign_in(context: BrowserContext, address: str, key: NewKey) -> dict[str, str]:
    """Open a session in a browser and return what is told of it; a one-time code is good for one session."""
    body = {"key": key.key} | ({"code": pyotp.TOTP(key.totp_secret).now()} if key.totp_secret else {})
    answer = context.request.post(f"{address}/session", data=body)
    assert answer.status == 201, answer.text()
    told: dict[str, str] = answer.json()
    return told
