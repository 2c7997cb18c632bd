/** Hexagons: which resolution a zoom shows, their names, and the look that is laid on them. */

/** Below the zoom, the resolution: the same table as the tiles'. */
const RES_BY_ZOOM = [
  [9, 6],
  [11, 7],
  [13, 8],
  [14, 9],
];
const FINEST = 10;
const RES_OF_LISTS = 8;
const SOURCE = { source: "hotspots", sourceLayer: "hotspots" };
const COLOURED = ["to-boolean", ["feature-state", "colour"]];
const UNKNOWN = "#888888";

/** The resolution that the map shows; that of the lists where there is no map. */
export function resolution(map) {
  if (!map) return RES_OF_LISTS;
  const zoom = Math.floor(map.getZoom());
  return RES_BY_ZOOM.find(([below]) => zoom < below)?.[1] ?? FINEST;
}

/** How wide a hexagon of a resolution is, in metres: from side to side, as the library's mean area gives it. */
const WIDTHS = { 6: 6500, 7: 2400, 8: 920, 9: 350, 10: 130 };
export const widthOf = (res) => WIDTHS[res];

/** The usual name of a cell from the number that compact answers give. */
export function nameOf(id) {
  const bits = id.toString(2);
  // Digits below a cell's own resolution are sevens, three bits set.
  const unused = Math.floor((bits.length - bits.lastIndexOf("0") - 1) / 3);
  return `8${(15 - unused).toString(16)}${id.toString(16).padStart(13, "0")}`;
}

/** Lay looks on the hexagons, a Map of name to {shown, significant, rank, colour}; all others show nothing. */
export function lay(map, looks) {
  if (!map?.getSource("hotspots")) return;
  map.removeFeatureState(SOURCE);
  for (const [id, look] of looks) map.setFeatureState({ ...SOURCE, id }, look);
}

/** Let a look's own colour go before the style's ramps. */
export function takeColours(map) {
  if (!map?.getLayer("hotspots")) return;
  const ramp = map.getPaintProperty("hotspots", "fill-color");
  if (JSON.stringify(ramp).includes('"colour"')) return;
  const own = ["to-color", ["feature-state", "colour"], UNKNOWN];
  map.setPaintProperty("hotspots", "fill-color", ["case", COLOURED, own, ramp]);
}

/** The place of the greatest limit that a value reaches, 0 at least. */
export const rankIn = (limits, value) =>
  Math.max(
    0,
    limits.findLastIndex((limit) => value >= limit),
  );
