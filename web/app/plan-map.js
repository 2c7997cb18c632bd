/** The planner's map: the draft over the city, old borders, what moves, faults, and picking grids. */

import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { controlWords, nameControls } from "./map-words.js";
import { isSketching, sketching } from "./plan-draw.js";
import { changedGrids, nameOf, onOpen, open, pick } from "./plan-store.js";
import { onChange, state } from "./state.js";
import { toast } from "./toast.js";

const FONT = ["Noto Sans SC"];
const COLOURS = { line: "#16497d", changed: "#1668c7", fresh: "#12805c", picked: "#7a3fc4", error: "#c62828",
  advice: "#b36b00", moved: "#d9680f", old: "#6b7683" };
const SHOWN = ["outside", "grids", "labels", "buildings", "roads"];
/** What a draft takes the place of. */
const IN_FORCE = ["grids", "labels"];
const EMPTY = { type: "FeatureCollection", features: [] };

let map = null;
let maplibre = null;

/** Draw the map; gives null where the browser has no WebGL2. */
export async function openPlanMap(city) {
  if (!document.createElement("canvas").getContext("webgl2")) {
    fill($("#map"), h("p", { class: "notice" }, t("list.nomap")));
    return null;
  }
  maplibre = await import("/vendor/maplibre-gl/maplibre-gl.mjs");
  map = new maplibre.Map({ container: "map", bounds: city.bbox, fitBoundsOptions: { padding: 24 }, hash: "map",
    maxZoom: 20, dragRotate: false, touchPitch: false, attributionControl: { compact: true }, locale: controlWords() });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
  map.addControl(new maplibre.ScaleControl({ maxWidth: 120 }), "bottom-left");
  map.on("error", ({ error }) => toast(t("map.failed", { reason: error?.message ?? "?" })));
  nameControls(map);
  await restyle();
  sketching(map);
  map.on("click", chooseGrid);
  map.on("mousemove", point);
  onOpen((what) => update(what));
  onChange((changed) => {
    if (changed.has("theme")) restyle();
    if (changed.has("lang")) key();
  });
  window.safetymap = { map, state, open };
  return map;
}

/** A map of the city and a draft in a container, that looks where the first one looks. */
export async function mapBeside(container, grids) {
  const beside = new maplibre.Map({ container, center: map.getCenter(), zoom: map.getZoom(), maxZoom: 20,
    dragRotate: false, touchPitch: false, attributionControl: { compact: true }, locale: controlWords() });
  nameControls(beside);
  const ready = new Promise((resolve) => beside.once("style.load", resolve));
  beside.setStyle(`/styles/${state.theme}.json`, { transformStyle: (_, style) => dress(style) });
  await ready;
  beside.getSource("draft").setData(atLevel(grids));
  return { first: map, beside };
}

async function restyle() {
  const ready = new Promise((resolve) => map.once("style.load", resolve));
  map.setStyle(`/styles/${state.theme}.json`, { diff: false, transformStyle: (_, style) => dress(style) });
  await ready;
  update(new Set(["plan", "grids", "picked", "faults", "impact", "level"]));
}

/** Of the city only what a planner draws by; over it the draft. */
function dress(style) {
  const ground = style.layers.filter(({ id, source }) => SHOWN.includes(source ?? id));
  const names = ["draft", "base", "moved", "faults", "trace", "sketch"];
  const own = Object.fromEntries(names.map((name) => [name, { type: "geojson", data: EMPTY,
    ...(name === "draft" && { promoteId: "code" }) }]));
  const used = new Set(ground.map(({ source }) => source));
  const sources = Object.entries(style.sources).filter(([name]) => used.has(name));
  return { ...style, sources: { ...Object.fromEntries(sources), ...own }, layers: [...ground, ...drawn()] };
}

const when = (state_, yes, no) => ["case", ["boolean", ["feature-state", state_], false], yes, no];
const byChange = (yes, fresh, no) => ["match", ["coalesce", ["get", "change"], ""], "changed", yes, "new", fresh, no];
const bySeverity = ["match", ["get", "severity"], "error", COLOURS.error, COLOURS.advice];
const dark = () => state.theme === "dark";

function drawn() {
  const line = dark() ? "#9dc1f0" : COLOURS.line;
  const of = (kind) => ["==", ["geometry-type"], kind];
  return [
    { id: "draft-fill", type: "fill", source: "draft", paint: {
      "fill-color": when("picked", COLOURS.picked, byChange(COLOURS.changed, COLOURS.fresh, line)),
      "fill-opacity": when("picked", 0.34, byChange(0.16, 0.2, 0.02)) } },
    { id: "moved-ground", type: "fill", source: "moved", filter: of("Polygon"),
      paint: { "fill-color": COLOURS.moved, "fill-opacity": 0.38 } },
    { id: "base-line", type: "line", source: "base",
      paint: { "line-color": COLOURS.old, "line-width": 1.4, "line-dasharray": [2, 2] } },
    { id: "draft-line", type: "line", source: "draft", paint: {
      "line-color": when("picked", COLOURS.picked, byChange(COLOURS.changed, COLOURS.fresh, line)),
      "line-width": when("picked", 3.4, byChange(2.4, 2.4, 1.5)) } },
    { id: "moved-objects", type: "circle", source: "moved", filter: of("Point"), minzoom: 12, paint: {
      "circle-radius": 3.2, "circle-color": COLOURS.moved, "circle-stroke-color": "#fff", "circle-stroke-width": 0.8 } },
    { id: "fault-ground", type: "fill", source: "faults", filter: of("Polygon"),
      paint: { "fill-color": bySeverity, "fill-opacity": ["match", ["get", "severity"], "error", 0.55, 0] } },
    { id: "advice-line", type: "line", source: "faults", filter: ["!=", ["get", "severity"], "error"],
      paint: { "line-color": COLOURS.advice, "line-width": 1.6, "line-dasharray": [1, 1.5] } },
    { id: "fault-line", type: "line", source: "faults", filter: ["==", ["get", "severity"], "error"],
      paint: { "line-color": COLOURS.error, "line-width": 3 } },
    { id: "fault-place", type: "circle", source: "faults", filter: of("Point"), paint: {
      "circle-radius": 6, "circle-color": "rgba(0,0,0,0)", "circle-stroke-color": bySeverity, "circle-stroke-width": 2.5 } },
    { id: "draft-label", type: "symbol", source: "draft", layout: {
      "text-field": ["get", "label"], "text-font": FONT, "text-size": 12.5, "text-padding": 4 },
      paint: { "text-color": dark() ? "#dde5ed" : "#1e2935", "text-halo-color": dark() ? "#0e1216" : "#fff", "text-halo-width": 1.6 } },
    { id: "trace-drawn", type: "line", source: "trace", filter: ["==", ["get", "part"], "drawn"],
      paint: { "line-color": COLOURS.old, "line-width": 2, "line-dasharray": [1, 2] } },
    { id: "trace-used", type: "line", source: "trace", filter: ["==", ["get", "part"], "used"],
      paint: { "line-color": COLOURS.moved, "line-width": 3.4 } },
    { id: "sketch-line", type: "line", source: "sketch",
      paint: { "line-color": COLOURS.error, "line-width": 2.6, "line-dasharray": [3, 1.5] } },
    { id: "sketch-points", type: "circle", source: "sketch", filter: ["all", of("Point"), ["!", ["has", "label"]]], paint: {
      "circle-radius": 5, "circle-color": "#fff", "circle-stroke-color": COLOURS.error, "circle-stroke-width": 2.5 } },
    { id: "sketch-snap", type: "circle", source: "sketch", filter: ["has", "label"], paint: {
      "circle-radius": 8, "circle-color": "rgba(0,0,0,0)", "circle-stroke-color": COLOURS.picked, "circle-stroke-width": 3 } },
    { id: "sketch-snap-label", type: "symbol", source: "sketch", filter: ["has", "label"], layout: {
      "text-field": ["get", "label"], "text-font": FONT, "text-size": 12, "text-anchor": "left", "text-offset": [1, 0], "text-allow-overlap": true },
      paint: { "text-color": COLOURS.picked, "text-halo-color": "#fff", "text-halo-width": 1.6 } },
  ];
}

const atLevel = (collection) => ({ type: "FeatureCollection",
  features: collection.filter(({ properties }) => properties.level === open.level)
    .map((grid) => ({ ...grid, properties: { ...grid.properties, label: nameOf(grid.properties.code) } })) });

function update(what) {
  if (!map?.getSource("draft")) return;
  if (what.has("grids") || what.has("level")) {
    map.getSource("draft").setData(atLevel([...open.grids.values()]));
    map.getSource("base").setData(atLevel(changedBase()));
  }
  if (what.has("faults")) map.getSource("faults").setData(open.faults ?? EMPTY);
  if (what.has("impact")) map.getSource("moved").setData(open.moved ?? EMPTY);
  if (what.has("picked") || what.has("grids")) {
    map.removeFeatureState({ source: "draft" });
    for (const id of open.picked) map.setFeatureState({ source: "draft", id }, { picked: true });
  }
  if (what.has("plan")) {
    map.getSource("trace").setData(EMPTY);
    traced = false;
    key();
    for (const { id, source } of map.getStyle().layers)
      if (IN_FORCE.includes(source) && id !== "grids-land") map.setLayoutProperty(id, "visibility", open.plan ? "none" : "visible");
  }
}

let traced = false;

/** Show what a step has used of a line as it was drawn, until the next step. */
export function trace(drawn, used) {
  const feature = (part, geometry) => ({ type: "Feature", properties: { part }, geometry });
  map?.getSource("trace").setData({ type: "FeatureCollection", features: [feature("drawn", drawn), feature("used", used)] });
  traced = true;
  key();
}

/** Former borders of the grids that the draft changed or took away. */
function changedBase() {
  const same = (code) => open.grids.has(code) && !["new", "changed"].includes(open.grids.get(code).properties.change);
  return (open.base?.features ?? []).filter(({ properties }) => !same(properties.code));
}

function key() {
  const rows = [["changed", "fill"], ["fresh", "fill"], ["picked", "fill"], ["old", "dash"], ["moved", "fill"],
    ["error", "line"], ["advice", "line"], ...(traced ? [["used", "line"], ["unused", "dash"]] : [])];
  const svg = (name, kind) => h("i", { class: `swatch-${kind} colour-${name}`, "aria-hidden": "true" });
  fill($("#key-items"), rows.map(([name, kind]) => h("li", {}, svg(name, kind), t(`plan.key.${name}`))));
  $("#key").hidden = !open.plan;
}

function chooseGrid({ point: at }) {
  if (isSketching() || !open.plan) return;
  const [hit] = map.queryRenderedFeatures(at, { layers: ["draft-fill"] });
  if (hit) pick(hit.properties.code);
}

function point({ point: at }) {
  if (isSketching() || !open.plan) return;
  const over = map.queryRenderedFeatures(at, { layers: ["draft-fill"] }).length > 0;
  map.getCanvas().style.cursor = over ? "pointer" : "";
}

/** Every vertex of a geometry. */
export function* vertices({ coordinates }) {
  if (typeof coordinates[0] === "number") yield coordinates;
  else for (const part of coordinates) yield* vertices({ coordinates: part });
}

/** Bring geometries into view. */
export function zoomTo(geometries, padding = 80) {
  const xy = geometries.flatMap((geometry) => [...vertices(geometry)]);
  if (!map || !xy.length) return;
  map.resize();
  const [lon, lat] = [xy.map(([x]) => x), xy.map(([, y]) => y)];
  const least = (values) => values.reduce((one, other) => Math.min(one, other));
  const most = (values) => values.reduce((one, other) => Math.max(one, other));
  map.fitBounds([least(lon), least(lat), most(lon), most(lat)], { padding, maxZoom: 17, duration: 0 });
}

/** Bring the draft's change into view, or its whole scope where it changed nothing yet. */
export function overview() {
  const scope = [...open.grids.values()].filter(({ properties }) => properties.code === open.plan?.scope);
  const changed = changedGrids().filter(({ properties }) => properties.level === open.level);
  zoomTo((changed.length ? changed : scope).map(({ geometry }) => geometry));
}

/** Ask for the city's grids again, as after a publication. */
export function redrawn() {
  const grids = map?.getSource("grids");
  grids?.setTiles(grids.tiles);
}
