"""Makes the READMEs' pictures from the running demo; its address is the argument, if not port 8000."""

import io
import json
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from gis.settings import settings

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]  # fmt: skip
SETTLED = "() => window.safetymap?.map?.loaded() && window.safetymap.map.areTilesLoaded()"

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
YEAR = "from=2025-01-01&to=2025-12-31"
PLANTED = "map=12.6/27.651/113.496&from=2025-04-25&to=2025-05-31&category=city.parking"
POINT = "map=15.4/27.829/113.1353&at=113.1353,27.8290"
VIEWS = [
    ("overview", DESK, f"lang=zh&theme=light&{YEAR}"),
    ("hotspots.zh", DESK, f"lang=zh&theme=light&{PLANTED}"),
    ("hotspots.en", DESK, f"lang=en&theme=safe&{PLANTED}"),
    ("chain.zh", DESK, f"lang=zh&theme=light&{POINT}"),
    ("chain.en", DESK, f"lang=en&theme=dark&hidden=none&{POINT}"),
    ("phone.zh", PHONE, "lang=zh&theme=dark&map=12.4/27.88/113.13"),
]
"""(name, window, the view as the page's address keeps it)."""


def sign_in(context: BrowserContext, address: str) -> None:
    """Open a commander's session, as a user of the demo would."""
    keys = json.loads((settings().data_dir / "demo-keys.json").read_text())
    answer = context.request.post(f"{address}/session", data={"key": keys["commander"]})
    if not answer.ok:
        sys.exit(f"{address} does not know the commander's key of {settings().data_dir}: {answer.text()}")


def shoot(page: Page, address: str, name: str, view: str) -> None:
    """Open a view, wait until every tile is drawn, and keep the picture, small: 256 colours."""
    page.goto("about:blank")  # a change of the hash alone would not load the page anew
    page.goto(f"{address}/#{view}")
    page.wait_for_function(SETTLED, timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(1000)  # labels fade in
    picture = (
        Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
    )
    picture.save(PICTURES / f"{name}.png", optimize=True)
    print(PICTURES / f"{name}.png")


def main(address: str = "http://127.0.0.1:8000") -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, window, view in VIEWS:
            context = browser.new_context(viewport=window, bypass_csp=True)  # waiting evaluates
            sign_in(context, address)
            shoot(context.new_page(), address, name, view)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
