"""Makes the READMEs' pictures from the running demo; its address is the argument, if not port 8000."""

import json
import sys
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from gis.settings import settings

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking"]
SETTLED = "() => window.safetymap?.map?.loaded() && window.safetymap.map.areTilesLoaded()"

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
VIEWS = [
    ("hotspots.zh", DESK, "lang=zh&theme=light"),
    ("hotspots.en", DESK, "lang=en&theme=light"),
    ("chain.zh", DESK, "lang=zh&theme=light&map=14.5/27.8274/113.1340&at=113.1340,27.8274"),
    ("chain.en", DESK, "lang=en&theme=light&map=14.5/27.8274/113.1340&at=113.1340,27.8274"),
    ("phone.zh", PHONE, "lang=zh&theme=dark"),
]
"""(name, window, the view as the page's address keeps it)."""


def sign_in(context: BrowserContext, address: str) -> None:
    """Open a commander's session, as a user of the demo would."""
    keys = json.loads((settings().data_dir / "demo-keys.json").read_text())
    answer = context.request.post(f"{address}/session", data={"key": keys["commander"]})
    if not answer.ok:
        sys.exit(f"{address} does not know the commander's key of {settings().data_dir}: {answer.text()}")


def shoot(page: Page, address: str, name: str, view: str) -> None:
    """Open a view, wait until every tile is drawn, and keep the picture."""
    page.goto("about:blank")  # a change of the hash alone would not load the page anew
    page.goto(f"{address}/#{view}")
    page.wait_for_function(SETTLED, timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png")


def main(address: str = "http://127.0.0.1:8000") -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, window, view in VIEWS:
            context = browser.new_context(viewport=window)
            sign_in(context, address)
            shoot(context.new_page(), address, name, view)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
