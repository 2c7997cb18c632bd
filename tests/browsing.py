"""A service over a test's database, started as anybody starts it, and Debian's Chromium to look at it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from gis.access import NewKey
from gis.settings import ROOT

SOFTWARE_GL = ["--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
DRAWN = "Boolean(window.safetymap?.map.loaded() && window.safetymap.map.areTilesLoaded())"
"""Whether the page's map shows everything it asked for."""
QUIET = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@contextlib.contextmanager
def serving(database: str, folder: Path) -> Iterator[str]:
    """Where the service listens, over a database, until the block ends; its log lies in the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "api.main:make_app", "--port", str(port)]
    settings = {"SAFETYMAP_DATABASE_URL": database, "SAFETYMAP_DATA_DIR": str(folder)}
    log = folder / "service.log"
    with log.open("w") as said:
        service = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=said, stderr=said)
    try:
        wait(lambda: service.poll() is not None or _listens(port), 600)
        assert service.poll() is None, log.read_text()[-2000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait(20)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium, drawing WebGL2 in software."""
    args = ["--no-sandbox", "--disable-quic", *SOFTWARE_GL, *QUIET]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=args)
        yield started
        started.close()


def _listens(port: int) -> bool:
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


def sign_in(context: BrowserContext, address: str, key: NewKey) -> dict[str, str]:
    """Open a session in a browser and return what is told of it; a one-time code is good for one session."""
    body = {"key": key.key} | ({"code": pyotp.TOTP(key.totp_secret).now()} if key.totp_secret else {})
    answer = context.request.post(f"{address}/session", data=body)
    assert answer.status == 201, answer.text()
    told: dict[str, str] = answer.json()
    return told
