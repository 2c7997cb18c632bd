/** Draws a line, an area or a place on the map, by pointer or by keys, and gives its coordinates when done. */

import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";

const LEAST = { line: 2, area: 3, place: 1 };
const EMPTY = { type: "FeatureCollection", features: [] };

let map = null;
let now = null;

/** Get ready on a map whose style has the source `sketch`; `near(lngLat)` gives a vertex close by, or null. */
export function sketching(drawn) {
  map = drawn;
  map.on("click", ({ lngLat, originalEvent }) => now && originalEvent.detail < 2 && add(lngLat));
  map.on("dblclick", (event) => now && (event.preventDefault(), finish()));
  map.on("mousemove", ({ lngLat }) => now && show(now.snap(lngLat)));
  map.getCanvas().addEventListener("keydown", keys, true);
  addEventListener("keydown", (event) => event.key === "Escape" && now && cancel());
}

export const isSketching = () => now !== null;

/** Draw a `kind` (line, area, place); resolves to [[lon, lat] …], or null when given up. */
export function sketch(kind, hint, snap = (at) => [at.lng, at.lat]) {
  cancel();
  return new Promise((done) => {
    now = { kind, points: [], snap, done };
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

function add(lngLat) {
  now.points.push(now.snap(lngLat));
  if (now.kind === "place") return finish();
  show();
  enable();
}

function back() {
  now.points.pop();
  show();
  enable();
}

function finish() {
  if (now.points.length >= LEAST[now.kind]) end(now.points);
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

/** Show the sketch with the pointer's place, if any, as its last point. */
function show(pointer) {
  const points = pointer ? [...now.points, pointer] : now.points;
  const ring = now.kind === "area" && points.length > 2 ? [...points, points[0]] : points;
  const shapes = ring.length > 1 ? [{ type: "LineString", coordinates: ring }] : [];
  if (now.points.length) shapes.push({ type: "MultiPoint", coordinates: now.points });
  const features = shapes.map((geometry) => ({ type: "Feature", properties: {}, geometry }));
  map.getSource("sketch")?.setData({ type: "FeatureCollection", features });
}

function buttons(hint) {
  const button = (key, onclick, id) => h("button", { type: "button", class: "button", onclick, id }, t(key));
  fill(
    $("#sketch"),
    h("p", { role: "status" }, hint, h("small", {}, t(now.kind === "place" ? "sketch.keys.place" : "sketch.keys"))),
    button("sketch.centre", atCentre),
    now.kind !== "place" && button("sketch.back", back, "sketch-back"),
    now.kind !== "place" && h("button", { type: "button", class: "button main", id: "sketch-done", onclick: finish }, t("sketch.done")),
    button("sketch.cancel", cancel),
  );
  $("#sketch").hidden = false;
  enable();
}

function enable() {
  if (!now || now.kind === "place") return;
  $("#sketch-done").disabled = now.points.length < LEAST[now.kind];
  $("#sketch-back").disabled = now.points.length === 0;
}
