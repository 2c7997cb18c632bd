"""Hit-tests a page: every control that can be seen can also be hit, at its centre and at its corners."""

from playwright.sync_api import Page

WIDTHS = {390: 844, 1280: 800, 1440: 900, 1920: 1080}
"""The widths at which pages are tried, with their heights: a phone, two desks, a wall display."""

_POPUPS = ".results, .toasts"
"""Parts that lie over others for a moment, and go with Escape, a click elsewhere or by themselves."""

_COVERED = """(POPUPS) => {
  const CONTROLS = "a[href], button, input, select, textarea, summary, [role=button], [tabindex='0']";
  const root = [...document.querySelectorAll("dialog")].findLast((one) => one.matches(":modal")) ?? document;
  const usable = (one) =>
    one.checkVisibility({ visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true })
    && !one.matches(":disabled, canvas, .skip:not(:focus)") && !one.closest("[inert]");
  // A rounded corner is cut off by 0.3 of its radius.
  const points = (one, { left, right, top, bottom }) => {
    const rounded = Math.min(parseFloat(getComputedStyle(one).borderTopLeftRadius) || 0, (bottom - top) / 2);
    const [x, y] = [right - left, bottom - top].map((side) => Math.min(3 + 0.3 * rounded, side / 3));
    return [[(left + right) / 2, (top + bottom) / 2], [left + x, top + y], [right - x, top + y],
      [left + x, bottom - y], [right - x, bottom - y]];
  };
  // A control within a line of text is hit where its words stand, not in the box around broken lines.
  const isInline = (one) => getComputedStyle(one).display === "inline";
  const boxes = (one) => (isInline(one) ? [...one.getClientRects()] : [one.getBoundingClientRect()])
    .filter(({ width, height }) => width > 1 && height > 1);
  const belongs = (one, hit) => hit !== null && (one.contains(hit)
    || hit.closest("label")?.control === one || (hit.closest(POPUPS) && !one.closest(POPUPS)));
  const words = (one) => (one.innerText || one.getAttribute("aria-label") || one.name || "").trim();
  const kind = (one) => `${one.tagName.toLowerCase()}#${one.id}.${one.className?.baseVal ?? one.className}`;
  const name = (one) => `${kind(one)} “${words(one).slice(0, 30)}”`;
  const faults = [];
  for (const one of root.querySelectorAll(CONTROLS)) {
    if (!usable(one)) continue;
    one.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    for (const [x, y] of boxes(one).flatMap((box) => points(one, box))) {
      const hit = document.elementFromPoint(x, y);
      if (belongs(one, hit)) continue;
      const over = hit ? name(hit) : "the window's edge";
      faults.push(`${name(one)} at ${Math.round(x)},${Math.round(y)} is under ${over}`);
      break;
    }
  }
  return faults;
}"""


def covered(page: Page) -> list[str]:
    """Return the controls that can be seen but not hit, each with what lies over it; best none."""
    found: list[str] = page.evaluate(_COVERED, _POPUPS)
    return found


def overflow(page: Page) -> int:
    """Return by how many CSS pixels the page is wider than its window; best 0."""
    script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(script))
