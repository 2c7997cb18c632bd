/** The search box: a point in either order, a code, a name or an address; and the device's own position. */

import { get } from "./api.js";
import { $, fill, h } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { t } from "./i18n.js";
import { choose, goTo } from "./map.js";
import { shownRecord } from "./record.js";
import { change, onChange } from "./state.js";
import { tell, toast } from "./toast.js";

const POINT = /^\s*(-?\d+(?:\.\d+)?)\s*[,;\s\uff0c\uff1b]\s*(-?\d+(?:\.\d+)?)\s*$/;

const PAUSE_MS = 200;
/** The score of what bears the very text as its name. */
const EXACT = 1;

let city;
let typing;
let looking = null;

/** Wire the box, its results and the position button. */
export function search(_, described) {
  city = described;
  suggestInput();
  onChange((changed) => changed.has("lang") && suggestInput());
  $("#search").addEventListener("submit", submit);
  $("#query").addEventListener("input", suggest);
  $("#here").addEventListener("click", locate);
  addEventListener("keydown", shortcut);
  addEventListener("click", (event) => !$("#search").contains(event.target) && offer([]));
}

/** Show in the empty box what can be searched for, by examples of this city. */
function suggestInput() {
  const { point, code, text } = city.examples;
  const words = { point: point?.join(",") ?? "", code: code ?? "", text: text ?? t("search.text") };
  $("#query").placeholder = t("search.placeholder", words);
}

function shortcut(event) {
  const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") offer([]);
  if (event.key !== "/" || inField) return;
  event.preventDefault();
  $("#query").focus();
}

async function submit(event) {
  event.preventDefault();
  offer([]);
  const text = $("#query").value.trim();
  if (!text) return toast(t("search.empty"));
  looking?.abort(); // what was asked last is answered, whichever answer comes last
  looking = new AbortController();
  const { signal } = looking;
  try {
    return await find(text, signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    change({ at: "" }); // what was found before is no answer to this
    return tell(error);
  }
}

/** What bears the text as its name wins over a reading as a coordinate. */
async function find(text, signal) {
  const numbers = POINT.exec(text);
  if (!numbers) return byName(text, signal);
  const found = await matching(text, signal);
  const named = found.matches.filter(({ score }) => score >= EXACT);
  if (named.length) return take({ ...found, matches: named });
  return visit(ordered(Number(numbers[1]), Number(numbers[2]), text));
}

/** Tell longitude from latitude: by range, else by which order lies in the city; throws where neither tells. */
export function ordered(one, other, text) {
  const readings = [
    { lng: one, lat: other },
    { lng: other, lat: one },
  ].filter(onEarth);
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

function visit(place, name, code) {
  goTo(place);
  choose(place, name, code);
}

/** Names, addresses and codes alike: one question, as only the service knows which words are codes. */
async function byName(text, signal) {
  const found = await matching(text, signal);
  if (!found.matches.length) throw new Error(t("search.nothing", { text }));
  return take(found);
}

async function matching(text, signal) {
  const found = await get("/grids/search", { q: text, ...shownRecord() }, signal);
  signal.throwIfAborted();
  return found;
}

const take = ({ matches, more }) => (matches.length === 1 ? visitMatch(matches[0]) : offer(matches, more));

/** Go to what was found; a grid is shown whole. */
function visitMatch(match) {
  if (match.kind === "grid") toast(`${match.address} · ${match.code}`, "note");
  visit(place(match), match.address, match.code ?? "");
  if (match.kind === "grid") visitGrid(match.code);
}

const place = ({ geometry }) => ({ lng: geometry.coordinates[0], lat: geometry.coordinates[1] });

function offer(matches, more = false) {
  $("#results").hidden = matches.length === 0;
  fill($("#results"), matches.map(result), more && h("li", { class: "quiet" }, t("search.more")));
}

/** A known address with the grid that owns it. */
function result(match) {
  const visitIt = () => {
    offer([]);
    visitMatch(match);
  };
  const owner = h("small", {}, match.chain[0]?.name === match.address ? match.chain[1]?.name : match.chain[0]?.name);
  return h("li", {}, h("button", { type: "button", onclick: visitIt }, match.address, owner));
}

/** Offer completions a moment after the last key; a number needs none. */
function suggest() {
  clearTimeout(typing);
  const text = $("#query").value.trim();
  if (text.length < 2 || /^[-\d]/.test(text)) return;
  typing = setTimeout(async () => {
    const { suggestions } = await get("/grids/suggest", { q: text });
    fill(
      $("#suggestions"),
      suggestions.map((value) => h("option", { value })),
    );
  }, PAUSE_MS);
}

function locate() {
  if (!navigator.geolocation) return toast(t("here.missing"));
  return navigator.geolocation.getCurrentPosition(
    ({ coords }) => visit({ lng: coords.longitude, lat: coords.latitude }),
    (error) => toast(t("here.denied", { reason: error.message })),
    { enableHighAccuracy: true, timeout: 15_000 },
  );
}
