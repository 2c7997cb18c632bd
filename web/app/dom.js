/** Makes and finds elements of the page; text always goes in as text, never as markup. */

const SVG = "http://www.w3.org/2000/svg";
const ICONS = new URL("icons.svg", import.meta.url).href;

export const $ = (selector) => document.querySelector(selector);

/** Make an element: attributes by name, `on…` as listeners, children as nodes or text; null ones are left out. */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  made.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return made;
}

function set(element, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "class") element.className = value;
  else element.setAttribute(name, value === true ? "" : value);
}

/** An icon of the page's own sprite. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

/** A small drawn sign as in the legend: hex, dot, bubble, star, diamond, line or area in the colours given. */
export function swatch({ shape, fill, edge }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[shape]);
  path.setAttribute("fill", shape === "line" ? "none" : fill);
  path.setAttribute("stroke", shape === "line" ? fill : (edge ?? "none"));
  path.setAttribute("stroke-width", shape === "line" ? 2.5 : 1.5);
  svg.append(path);
  return svg;
}

const SHAPES = {
  hex: "M8 1.2 13.9 4.6V11.4L8 14.8 2.1 11.4V4.6Z",
  dot: "M8 3.2A4.8 4.8 0 1 1 7.99 3.2Z",
  bubble: "M8 1.2A6.8 6.8 0 1 1 7.99 1.2Z",
  star: "M8 1 9.9 5.9 15 6.2 11 9.4 12.4 14.5 8 11.6 3.6 14.5 5 9.4 1 6.2 6.1 5.9Z",
  diamond: "M8 1.5 14.5 8 8 14.5 1.5 8Z",
  line: "M1 8H15",
  area: "M1.5 3.5H14.5V12.5H1.5Z",
};

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false));
}

const named = (element, kind) => [...element.querySelectorAll(`${kind}[id]`)];

/** Replace what an element holds, and keep what its reader did there: folds, words typed in, the place of the cursor.
    Where that place is gone or cannot be used any more, the cursor goes to the first of the ids that it, or what it
    stood in, names in `data-then`, else on to what stands after it, else before it. */
export function refill(element, ...children) {
  const folds = new Map(named(element, "details").map(({ id, open }) => [id, open]));
  const typed = new Map(named(element, "input").filter(isTyped).map(({ id, value }) => [id, value]));
  const { selectionStart } = document.activeElement ?? {};
  const places = element.contains(document.activeElement) ? placesFrom(element, document.activeElement) : [];
  fill(element, ...children);
  for (const one of named(element, "details")) one.open = folds.get(one.id) ?? one.open;
  for (const one of named(element, "input")) one.value = typed.get(one.id) ?? one.value;
  const found = places.map((id) => element.querySelector(`#${CSS.escape(id)}`)).find((one) => one && !one.disabled && one.getClientRects().length);
  if (!found) return;
  found.focus({ preventScroll: found.id === places[0] });
  if (found.id === places[0] && selectionStart !== null && found.type === "text") found.setSelectionRange(selectionStart, selectionStart);
}

/** Where the cursor may be put, best first: the ids of an element that has the focus, of its heirs, of those after it,
    and before. */
function placesFrom(element, focused) {
  if (!focused.id) return [];
  const heirs = focused.closest("[data-then]")?.dataset.then.split(" ") ?? [];
  const all = [...element.querySelectorAll("button[id], input[id], select[id], textarea[id], summary[id], a[id]")];
  const at = all.indexOf(focused);
  const others = at < 0 ? [] : [...all.slice(at), ...all.slice(0, at).reverse()];
  return [focused.id, ...heirs, ...others.map(({ id }) => id)];
}

const isTyped = ({ type, value, defaultValue }) => ["text", "number", "date"].includes(type) && value !== defaultValue;
