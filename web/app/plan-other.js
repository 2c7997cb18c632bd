/** A second map beside the planner's, on which another draft is shown; the two move together. */

import { $ } from "./dom.js";
import { mapBeside } from "./plan-map.js";

let shown = null;

/** Show the grids of another draft on a second map. */
export async function drawOther(grids) {
  closeOther();
  $("#other").hidden = false;
  const { first, beside } = await mapBeside("other", grids);
  const pairs = [[first, beside], [beside, first]].map(([from, to]) => [from, () => follow(from, to)]);
  for (const [map, moves] of pairs) map.on("move", moves);
  shown = () => {
    first.off("move", pairs[0][1]);
    beside.remove();
  };
}

let isFollowing = false;

/** Let one map look where the other looks, without being followed back. */
function follow(from, to) {
  if (isFollowing) return;
  isFollowing = true;
  to.jumpTo({ center: from.getCenter(), zoom: from.getZoom() });
  isFollowing = false;
}

/** Take the second map away. */
export function closeOther() {
  shown?.();
  shown = null;
  $("#other").hidden = true;
}
