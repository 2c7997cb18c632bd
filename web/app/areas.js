/** The list of significant areas: neighbouring hot hexagons as one, named by the grid that holds most of each. */

import { get } from "./api.js";
import { $, fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { choose, goToBox } from "./map.js";
import { tell } from "./toast.js";

const AT_FIRST = 6;
const NAMED_LEVELS = 3;

let h3;
let latest = 0;

/** The spot of each hot cell, as the service names it. */
let spotOf = new Map();

/** Show the areas of these cells, the most surprising first, by the names of the spots they belong to. */
export async function areas(cells, spots) {
  spotOf = new Map(spots.flatMap((spot) => spot.cells.map((cell) => [cell, spot])));
  const turn = ++latest;
  const hot = cells.filter((cell) => cell.significant);
  h3 ??= hot.length ? await import("/vendor/h3-js/h3-js.es.js") : undefined;
  if (turn === latest) show(grouped(hot), AT_FIRST);
}

/** Join hot cells that touch; areas are ordered by their least p, then by count. */
function grouped(hot) {
  const left = new Map(hot.map((cell) => [cell.cell, cell]));
  const found = [];
  while (left.size) found.push(summed(component(left)));
  return found.sort((a, b) => a.peak.p - b.peak.p || b.count - a.count);
}

/** Take one connected group of cells out of `left`. */
function component(left) {
  const [start] = left.keys();
  const queue = [start];
  const members = [];
  while (queue.length) {
    const name = queue.pop();
    const cell = left.get(name);
    if (!cell) continue;
    left.delete(name);
    members.push(cell);
    queue.push(...h3.gridDisk(name, 1));
  }
  return members;
}

function summed(members) {
  const peak = members.reduce((best, cell) => (cell.p < best.p ? cell : best));
  const busiest = members.reduce((best, cell) => (cell.count > best.count ? cell : best));
  return { members, peak, busiest, count: members.reduce((sum, cell) => sum + cell.count, 0) };
}

function show(found, most) {
  const rest = found.length - most;
  const more = h(
    "button",
    { type: "button", class: "more", onclick: () => show(found, most + 20) },
    t("hotspots.more", { count: rest }),
  );
  fill($("#areas"), found.slice(0, most).map(row), rest > 0 && h("li", { class: "wide" }, more));
}

function row(area) {
  const [lat, lng] = h3.cellToLatLng(area.busiest.cell);
  const place = h("strong", {}, `${lng.toFixed(4)}, ${lat.toFixed(4)}`);
  const within = h("span", {});
  const spot = spotOf.get(area.peak.cell);
  if (spot?.grid) {
    place.textContent = spot.name;
    within.textContent = spot.within.slice(1 - NAMED_LEVELS).map((upper) => `${upper} · `).join("");
  } else name(place, within, lng, lat);
  const facts = h("small", {}, within, t("hotspots.area", { cells: area.members.length, count: area.count }));
  const button = h(
    "button",
    { type: "button", onclick: () => visit(area, { lng, lat }) },
    place,
    ratio(area.peak),
    facts,
    trend(area.peak),
  );
  return h("li", { "data-grid": spot?.grid }, button);
}

const ratio = (peak) => h("b", { class: "ratio" }, peak.ratio === null ? "∞" : `×${peak.ratio.toFixed(1)}`);

/** The trend of a cell as a sign with its word. */
export function trend({ trend: way }) {
  if (!way) return null;
  const sign = { rising: "up", falling: "down", steady: "flat" }[way];
  return h("span", { class: `trend ${way}` }, icon(sign), t(`trend.${way}`));
}

/** Put the names of the owning grids, from county down, in the place of the coordinates. */
export async function name(place, within, lon, lat) {
  try {
    const { chain } = await get("/grids/at", { lon, lat });
    const names = chain
      .toReversed()
      .filter((grid) => grid.level > 1)
      .slice(0, NAMED_LEVELS)
      .map((grid) => grid.name);
    place.textContent = names.pop() ?? chain[0].name;
    within.textContent = names.map((upper) => `${upper} · `).join("");
  } catch (error) {
    if (error.status !== 404) tell(error);
  }
}

function visit(area, place) {
  const corners = area.members.flatMap((cell) => h3.cellToBoundary(cell.cell, true));
  const [lngs, lats] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  goToBox([Math.min(...lngs), Math.min(...lats), Math.max(...lngs), Math.max(...lats)]);
  choose(place);
}
