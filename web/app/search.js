/** The search box: a point in either order, a grid's code, or an address; and the device's own position. */

import { Refused, get } from "./api.js";
import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { choose, goTo, goToBox } from "./map.js";
import { tell, toast } from "./toast.js";

const POINT = /^\s*(-?\d+(?:\.\d+)?)\s*[,;\s\uff0c\uff1b]\s*(-?\d+(?:\.\d+)?)\s*$/;

let city;

/** Wire the box, its results and the position button. */
export function search(_, described) {
  city = described;
  $("#search").addEventListener("submit", submit);
  $("#here").addEventListener("click", locate);
  addEventListener("keydown", shortcut);
  addEventListener("click", (event) => !$("#search").contains(event.target) && offer([]));
}

function shortcut(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") offer([]);
  if (event.key !== "/" || typing) return;
  event.preventDefault();
  $("#query").focus();
}

async function submit(event) {
  event.preventDefault();
  offer([]);
  const text = $("#query").value.trim();
  if (!text) return toast(t("search.empty"));
  const numbers = POINT.exec(text);
  try {
    return numbers ? visit(ordered(Number(numbers[1]), Number(numbers[2]), text)) : await byName(text);
  } catch (error) {
    return tell(error);
  }
}

/** Tell longitude from latitude: by range, else by which order lies in the city; throws where neither tells. */
export function ordered(one, other, text) {
  const readings = [{ lng: one, lat: other }, { lng: other, lat: one }].filter(onEarth);
  if (readings.length === 0) throw new Error(t("search.outside", { text }));
  const inside = readings.filter(inCity);
  if (inside.length === 1) return inside[0];
  if (readings.length === 1) return readings[0];
  throw new Error(t("search.ambiguous", { text }));
}

const onEarth = ({ lng, lat }) => Math.abs(lng) <= 180 && Math.abs(lat) <= 90;

function inCity({ lng, lat }) {
  const [west, south, east, north] = city.bbox;
  return west <= lng && lng <= east && south <= lat && lat <= north;
}

function visit(place) {
  goTo(place);
  choose(place);
}

/** A grid's code first, since it is exact; then an address. */
async function byName(text) {
  const grid = await orMissing(get(`/grids/${encodeURIComponent(text)}`));
  if (grid) return showGrid(grid);
  const found = await orMissing(get("/grids/search", { q: text }));
  if (!Array.isArray(found?.matches)) throw new Error(t("search.noaddress", { text }));
  if (!found.matches.length) throw new Error(t("search.nothing", { text }));
  return offer(found.matches);
}

async function orMissing(question) {
  try {
    return await question;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}

function showGrid(grid) {
  const points = grid.geometry.coordinates.flat(Infinity);
  const lngs = points.filter((_, index) => index % 2 === 0);
  const lats = points.filter((_, index) => index % 2 === 1);
  const box = [least(lngs), least(lats), most(lngs), most(lats)];
  goToBox(box);
  toast(`${grid.properties.name} · ${grid.properties.code}`, "note");
}

const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b));
const most = (numbers) => numbers.reduce((a, b) => Math.max(a, b));

function offer(matches) {
  $("#results").hidden = matches.length === 0;
  fill($("#results"), matches.map(({ address, geometry }) => {
    const [lng, lat] = geometry.coordinates;
    return h("li", {}, h("button", { type: "button", onclick: () => take({ lng, lat }) }, address));
  }));
}

function take(place) {
  offer([]);
  visit(place);
}

function locate() {
  if (!navigator.geolocation) return toast(t("here.missing"));
  return navigator.geolocation.getCurrentPosition(
    ({ coords }) => visit({ lng: coords.longitude, lat: coords.latitude }),
    (error) => toast(t("here.denied", { reason: error.message })),
    { enableHighAccuracy: true, timeout: 15_000 },
  );
}
