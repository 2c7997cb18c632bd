/** Brings a grid into view by its code and outlines it. */

import { get } from "./api.js";
import { $ } from "./dom.js";
import { goToBox, outline } from "./map.js";
import { shownRecord } from "./record.js";
import { tell } from "./toast.js";

/** Close the board, if it is open, and bring a grid into view. */
export async function visitGrid(code) {
  $("#board").close();
  try {
    showGrid(await get(`/grids/${encodeURIComponent(code)}`, shownRecord()));
  } catch (error) {
    tell(error);
  }
}

/** Bring a grid's feature into view. */
function showGrid({ geometry, properties }) {
  const places = geometry.coordinates.flat(2);
  const [lngs, lats] = [0, 1].map((axis) => places.map((place) => place[axis]));
  goToBox([least(lngs), least(lats), most(lngs), most(lats)]);
  outline([properties.code]);
}

// A border has more vertices than a call may have arguments.
const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b));
const most = (numbers) => numbers.reduce((a, b) => Math.max(a, b));
