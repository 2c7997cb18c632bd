/** Clusters of any size by the scan statistic: listed in words, outlined on the map. */

import { chance } from "./analysis-words.js";
import { get } from "./api.js";
import { name } from "./areas.js";
import { $, fill, h, swatch } from "./dom.js";
import { t } from "./i18n.js";
import { goToBox } from "./map.js";
import { tell } from "./toast.js";

const SOURCE = "clusters";
/** The colour of what statistics found, as the theme has it. */
const COLOUR = "var(--find)";
const themed = () => getComputedStyle(document.documentElement).getPropertyValue("--find").trim();
const line = () => ({
  id: SOURCE,
  type: "line",
  source: SOURCE,
  layout: { "line-join": "round" },
  paint: { "line-color": themed(), "line-width": 3, "line-dasharray": [2, 1] },
});
const NOTHING = { type: "FeatureCollection", features: [] };

let h3;
let drawn = NOTHING;
let watched = null;

/** Scan for clusters under `query` and show them, where the values are such as can be tested. */
export async function clusters(map, query, whole, signal) {
  watch(map);
  const holder = $("#clusters");
  if (whole.method === "counts-only") return unclustered(map);
  holder.hidden = false;
  fill(holder, title(), h("p", { class: "quiet" }, t("clusters.wait")));
  try {
    const { clusters: found } = await get("/hotspots/values", { ...query, with: "scan" }, signal);
    if (found.length) h3 ??= await import("/vendor/h3-js/h3-js.es.js");
    if (signal.aborted) return;
    draw(map, found);
    fill(holder, title(), list(found));
  } catch (error) {
    fill(holder);
    tell(error);
  }
}

/** Show no clusters: nothing is tested. */
export function unclustered(map) {
  $("#clusters").hidden = true;
  draw(map, []);
}

const title = () => h("h3", {}, swatch({ shape: "line", fill: COLOUR }), t("clusters.title"));

function list(found) {
  if (!found.length) return h("p", { class: "quiet" }, t("clusters.none"));
  return h("ol", { class: "areas" }, found.map(row));
}

function row(one) {
  const words = {
    cells: one.members.length,
    observed: one.observed,
    expected: Number(one.expected.toFixed(1)),
  };
  const ratio = h("b", { class: "ratio" }, `×${one.ratio.toFixed(1)}`);
  const [lat, lng] = h3.cellToLatLng(one.centre);
  const place = h("strong", {}, `${lng.toFixed(4)}, ${lat.toFixed(4)}`);
  const within = h("span", {});
  name(place, within, lng, lat);
  const facts = h("small", {}, within, t("clusters.one", words), " · ", chance(one.p));
  const visit = () => goToBox(bounds(one));
  const button = h("button", { type: "button", onclick: visit }, place, ratio, facts);
  return h("li", { "data-cluster": one.cluster, "data-observed": one.observed, "data-p": one.p }, button);
}

function bounds(one) {
  const corners = one.members.flatMap((cell) => h3.cellToBoundary(cell, true));
  const [lngs, lats] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  return [Math.min(...lngs), Math.min(...lats), Math.max(...lngs), Math.max(...lats)];
}

function draw(map, found) {
  const features = found.map(({ cluster, members }) => ({
    type: "Feature",
    properties: { cluster },
    geometry: { type: "MultiPolygon", coordinates: h3.cellsToMultiPolygon(members, true) },
  }));
  drawn = { type: "FeatureCollection", features };
  map?.getSource(SOURCE)?.setData(drawn);
}

/** A new style forgets what was added to the one before. */
function watch(map) {
  if (!map || watched === map) return;
  watched = map;
  const add = () => {
    if (map.getSource(SOURCE)) return;
    map.addSource(SOURCE, { type: "geojson", data: drawn });
    map.addLayer(line(), map.getLayer("grids-border") ? "grids-border" : undefined);
  };
  map.on("style.load", add);
  add();
}
