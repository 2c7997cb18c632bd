/** What the public is told of larger hexagons, because smaller ones held too little: drawn under the small. */

import { rankIn } from "./cells.js";

const SOURCE = "merged";
/** From here on a hexagon is smaller than a city; what is told of larger ones is in the numbers only. */
const COARSEST = 6;
const CHILDREN = 7;
const NOTHING = { type: "FeatureCollection", features: [] };
const FILL = {
  id: SOURCE,
  type: "fill",
  source: SOURCE,
  paint: { "fill-color": "#5b7f9f", "fill-opacity": ["interpolate", ["linear"], ["get", "rank"], 0, 0.06, 4, 0.35] },
};
const EDGE = {
  id: "merged-edge",
  type: "line",
  source: SOURCE,
  paint: { "line-color": "#5b7f9f", "line-width": 1, "line-dasharray": [3, 2] },
};

let h3;
let drawn = NOTHING;
let watched = null;

/** The resolution in a cell's name. */
export const resOf = (cell) => parseInt(cell[1], 16);

/** Draw those of `cells` that are larger than `res` asks for, shaded by what they hold for their size. */
export async function merged(map, cells, res, breaks) {
  watch(map);
  const larger = cells.filter(({ cell }) => resOf(cell) < res && resOf(cell) >= COARSEST);
  if (larger.length) h3 ??= await import("/vendor/h3-js/h3-js.es.js");
  const features = larger.map(({ cell, count }) => ({
    type: "Feature",
    properties: { rank: rankIn(breaks, count / CHILDREN ** (res - resOf(cell))) },
    geometry: { type: "Polygon", coordinates: [h3.cellToBoundary(cell, true)] },
  }));
  drawn = { type: "FeatureCollection", features };
  map?.getSource(SOURCE)?.setData(drawn);
}

/** A new style has none of our layers: they are laid on it again. */
function watch(map) {
  if (!map || watched === map) return;
  watched = map;
  const add = () => {
    if (map.getSource(SOURCE)) return;
    const below = map.getLayer("hotspots") ? "hotspots" : undefined;
    map.addSource(SOURCE, { type: "geojson", data: drawn });
    map.addLayer(FILL, below);
    map.addLayer(EDGE, below);
  };
  map.on("style.load", add);
  add();
}
