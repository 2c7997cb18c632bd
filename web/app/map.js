/** The map itself: style, layers shown, the mark of the chosen point. Without WebGL2 there is none, and lists serve. */

import { $, h } from "./dom.js";
import { t } from "./i18n.js";
import { hidden, zoomed } from "./layers.js";
import { controlWords, nameControls } from "./map-words.js";
import { asked } from "./period.js";
import { isOfRecord, shownRecord } from "./record.js";
import { change, onChange, state } from "./state.js";
import { toast } from "./toast.js";

/** What a source's tiles are asked with: the period and category, or the record of grids. */
const ASKED = { incidents: () => asked(), grids: () => shownRecord(), labels: () => shownRecord() };

let maplibre;
let map = null;
let marker = null;

/** Draw the map into #map; gives null where the browser has no WebGL2. */
export async function openMap(city) {
  if (!hasWebGL2()) return withoutMap();
  maplibre = await import("/vendor/maplibre-gl/maplibre-gl.mjs");
  map = new maplibre.Map({
    container: "map",
    bounds: city.bbox,
    fitBoundsOptions: { padding: 24 },
    hash: "map",
    maxZoom: 19,
    dragRotate: false,
    touchPitch: false,
    attributionControl: false,
    locale: controlWords(),
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), "bottom-left");
  map.addControl(new maplibre.AttributionControl({ compact: false }), "bottom-right");
  follow();
  nameControls(map, "map.label");
  await restyle();
  window.safetymap = { map, state };
  return map;
}

function hasWebGL2() {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

function withoutMap() {
  document.body.classList.add("no-map");
  $("#map").replaceChildren(h("p", { class: "notice", "data-t": "list.nomap" }, t("list.nomap")));
  return null;
}

function follow() {
  map.on("error", ({ error }) => toast(t("map.failed", { reason: error?.message ?? "?" })));
  map.on("click", (event) => choose(event.lngLat.wrap()));
  map.on("zoom", () => zoomed(map.getZoom()));
  map.getCanvas().addEventListener("keydown", askAtCentre);
  $("#centre").addEventListener("click", () => choose(map.getCenter().wrap()));
  zoomed(map.getZoom());
  if (state.at && !location.hash.includes("map="))
    map.jumpTo({ center: chosen() ?? map.getCenter(), zoom: 15 });
  onChange((changed) => {
    if (changed.has("theme")) restyle();
    if (changed.has("hidden")) for (const layer of map.getStyle().layers) showOrHide(layer);
    if (["from", "to", "category"].some((name) => changed.has(name))) filterTiles("incidents");
    if (isOfRecord(changed)) for (const name of ["grids", "labels"]) filterTiles(name);
    if (changed.has("at")) mark();
  });
}

function askAtCentre(event) {
  if (event.key.toLowerCase() === "c" && !event.ctrlKey && !event.metaKey) choose(map.getCenter().wrap());
}

/** What points were found by, by point: Back goes to earlier ones. */
const named = new Map();

/** Make a point the chosen one, by the name and code of what it was found by if any; an address has six decimals, some 0.1 m. */
export function choose({ lng, lat }, name = "", code = "") {
  const at = `${lng.toFixed(6)},${lat.toFixed(6)}`;
  named.set(at, { name, code });
  change({ at });
}

/** The name that the chosen point was found by, empty where it was only pointed at. */
export const chosenName = () => named.get(state.at)?.name ?? "";

/** The code of the grid that was looked for, empty where a point was. */
export const chosenCode = () => named.get(state.at)?.code ?? "";

/** The chosen point as {lng, lat}, or null. */
export function chosen() {
  const [lng, lat] = state.at.split(",").map(Number);
  return state.at && Number.isFinite(lng) && Number.isFinite(lat) ? { lng, lat } : null;
}

/** Load the style of the theme and dress it in the wishes of the user before it is drawn. */
function restyle() {
  const ready = new Promise((resolve) => map.once("style.load", resolve));
  map.setStyle(`/styles/${state.theme}.json`, { transformStyle: (_, style) => dress(style) });
  return ready.then(mark);
}

function dress(style) {
  for (const layer of style.layers) {
    layer.layout = { ...layer.layout, visibility: visibility(layer) };
  }
  for (const name of Object.keys(ASKED)) {
    if (style.sources[name]) style.sources[name].tiles = filtered(name, style.sources[name].tiles);
  }
  return style;
}

const visibility = (layer) => (hidden().includes(layer.source) ? "none" : "visible");

function showOrHide(layer) {
  if (layer.source) map.setLayoutProperty(layer.id, "visibility", visibility(layer));
}

/** Tile addresses of a source that ask for what is wished to be seen. */
function filtered(name, tiles) {
  const query = new URLSearchParams(Object.entries(ASKED[name]()).filter(([, value]) => value)).toString();
  return tiles.map((url) => url.split("?")[0] + (query && `?${query}`));
}

function filterTiles(name) {
  const source = map.getSource(name);
  source?.setTiles(filtered(name, source.tiles));
}

/** Mark the chosen point on the map. */
function mark() {
  const place = chosen();
  marker?.remove();
  if (!place) return;
  marker = new maplibre.Marker({ element: h("div", { class: "pin", "aria-hidden": "true" }) });
  marker.setLngLat(place).addTo(map);
}

/** Outline the grids of these codes. */
export function outline(codes) {
  if (map?.getLayer("grids-focus")) map.setFilter("grids-focus", ["in", ["get", "code"], ["literal", codes]]);
}

/** Bring a point into view, and nearer if need be; `zoom` is the least zoom wanted. */
export function goTo(place, zoom = 15) {
  map?.easeTo({ center: place, zoom: Math.max(map.getZoom(), zoom), ...motion() });
}

/** Bring [west, south, east, north] into view. */
export function goToBox(box) {
  map?.fitBounds(box, { padding: 60, maxZoom: 17, ...motion() });
}

/** Move the map if `cover` or the window's edge hides a point, so that it lies amid the room left free. */
export function reveal(place, cover) {
  if (!map) return;
  // On its way a place may lie in the open and come to rest under the sheet.
  if (map.isMoving()) return void map.once("moveend", () => isChosen(place) && reveal(place, cover));
  map.resize();
  const room = map.getContainer().getBoundingClientRect();
  const covered = cover.getBoundingClientRect();
  const { x, y } = map.project(place);
  const sheet = covered.top > room.top;
  const free = sheet
    ? { right: room.width, bottom: covered.top - room.top }
    : { right: covered.left - room.left, bottom: room.height };
  if (x > 16 && y > 16 && x < Math.min(free.right, room.width) - 16 && y < free.bottom - 16) return;
  const offset = sheet
    ? [0, (free.bottom - room.height) / 2]
    : [(Math.min(free.right, room.width) - room.width) / 2, 0];
  map.easeTo({ center: place, offset, ...motion() });
}

const isChosen = ({ lng, lat }) => chosen()?.lng === lng && chosen()?.lat === lat;

const motion = () =>
  matchMedia("(prefers-reduced-motion: reduce)").matches ? { duration: 0 } : { duration: 700 };

/** What is drawn within a few pixels of the chosen point, topmost first. */
export function drawnAt(place) {
  if (!map) return [];
  const { x, y } = map.project(place);
  return map.queryRenderedFeatures([
    [x - 4, y - 4],
    [x + 4, y + 4],
  ]);
}

/** Whether the style draws a layer of the catalogue: only then is there something to switch. */
export const isDrawn = (name) => map?.getStyle().layers.some((layer) => layer.source === name) ?? false;

/** The style's legend. */
export const styleLegend = () => map?.getStyle().metadata["safetymap:legend"] ?? [];
