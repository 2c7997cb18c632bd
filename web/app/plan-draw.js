/** Draws a line, an area or a place on the map, by pointer or by keys, and gives its coordinates when done. */

import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { isBeside, meant, plain } from "./plan-snap.js";

const LEAST = { line: 2, area: 3, place: 1 };
const EMPTY = { type: "FeatureCollection", features: [] };

/** A pointer that rests so long is asked about. */
const REST_MS = 60;

let map = null;
let now = null;
/** Whether points go to the vertex, border or road beside them. */
let snapping = true;

/** Get ready on a map whose style has the source `sketch`. */
export function sketching(drawn) {
  map = drawn;
  map.on("click", ({ lngLat, originalEvent }) => now && originalEvent.detail < 2 && add(lngLat));
  map.on("dblclick", (event) => now && (event.preventDefault(), finish()));
  map.on("mousemove", ({ lngLat }) => now && hover(lngLat));
  map.getCanvas().addEventListener("keydown", keys, true);
  addEventListener("keydown", (event) => event.key === "Escape" && now && cancel());
}

/** What lies within reach of a place on the map. */
export const whatIsAt = (lngLat) => meant(map, lngLat);

export const isSketching = () => now !== null;

/** Draw a `kind` (line, area, place); resolves to [[lon, lat] …], or null when given up. `snaps`: with the snap aid. */
export function sketch(kind, hint, { snaps = false } = {}) {
  cancel();
  return new Promise((done) => {
    now = { kind, points: [], snaps, spot: null, adding: Promise.resolve(), done };
    map.getCanvas().style.cursor = "crosshair";
    $("#crosshair").hidden = false;
    buttons(hint);
    map.getCanvas().focus({ preventScroll: true });
  });
}

/** Give up what is being drawn. */
export function cancel() {
  end(null);
}

function end(points) {
  if (!now) return;
  const { done } = now;
  now = null;
  map.getCanvas().style.cursor = "";
  map.getSource("sketch")?.setData(EMPTY);
  $("#crosshair").hidden = $("#sketch").hidden = true;
  done(points);
}

/** Add a point where it is meant to lie; points come in the order of their clicks. */
function add(lngLat) {
  const mine = now;
  mine.adding = mine.adding.then(async () => {
    const spot = await find(mine, lngLat);
    if (now !== mine) return;
    mine.points.push(spot.at);
    if (mine.kind === "place") return end(mine.points);
    show(spot);
    enable();
  });
}

const find = async ({ snaps }, lngLat) => (snaps && snapping ? meant(map, lngLat) : plain(lngLat));

let looked = 0;
let resting = 0;

/** Show where a click would put a point: at what was found beside the pointer, once it rests. */
function hover(lngLat) {
  const held = now.spot?.kind && isBeside(map, lngLat, now.spot);
  show(held ? now.spot : plain(lngLat));
  clearTimeout(resting);
  if (now.snaps && snapping) resting = setTimeout(look, REST_MS, now, lngLat);
}

async function look(mine, lngLat) {
  const turn = ++looked;
  const spot = await meant(map, lngLat);
  if (now !== mine || turn !== looked) return;
  mine.spot = spot;
  show(spot);
}

function back() {
  now.points.pop();
  show();
  enable();
}

async function finish() {
  const mine = now;
  await mine.adding;
  if (now === mine && mine.points.length >= LEAST[mine.kind]) end(mine.points);
}

const atCentre = () => add(map.getCenter());

function keys(event) {
  if (!now) return;
  const action = { Enter: event.ctrlKey || event.metaKey ? finish : atCentre, Backspace: back }[event.key];
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}

/** Show the sketch with the pointer's place, if any, as its last point, and what it snaps to. */
function show(spot) {
  const points = spot ? [...now.points, spot.at] : now.points;
  const ring = now.kind === "area" && points.length > 2 ? [...points, points[0]] : points;
  const shapes = ring.length > 1 ? [{ type: "LineString", coordinates: ring }] : [];
  if (now.points.length) shapes.push({ type: "MultiPoint", coordinates: now.points });
  const features = shapes.map((geometry) => ({ type: "Feature", properties: {}, geometry }));
  if (spot?.kind) features.push({ type: "Feature", properties: { label: t(`snap.${spot.kind}`) }, geometry: { type: "Point", coordinates: spot.at } });
  map.getSource("sketch")?.setData({ type: "FeatureCollection", features });
}

function buttons(hint) {
  const button = (key, onclick, id) => h("button", { type: "button", class: "button", onclick, id }, t(key));
  fill(
    $("#sketch"),
    h("p", { role: "status" }, hint, h("small", {}, t(now.kind === "place" ? "sketch.keys.place" : "sketch.keys"))),
    now.snaps && aid(),
    button("sketch.centre", atCentre),
    now.kind !== "place" && button("sketch.back", back, "sketch-back"),
    now.kind !== "place" && h("button", { type: "button", class: "button main", id: "sketch-done", onclick: finish }, t("sketch.done")),
    button("sketch.cancel", cancel),
  );
  $("#sketch").hidden = false;
  enable();
}

function aid() {
  const box = h("input", { type: "checkbox", id: "sketch-snap", checked: snapping, onchange: ({ target }) => (snapping = target.checked) });
  return h("label", { class: "aid" }, box, t("sketch.snap"));
}

function enable() {
  if (!now || now.kind === "place") return;
  $("#sketch-done").disabled = now.points.length < LEAST[now.kind];
  $("#sketch-back").disabled = now.points.length === 0;
}
