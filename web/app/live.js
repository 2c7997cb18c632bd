/** Hears what is committed while the page is open, and draws the layers that it touched anew. */

import { follow } from "./stream.js";

const GATHER_MS = 400;
const LAYER_OF = { incident: "incidents", responder: "responders" };

const touched = new Set();
let map = null;
let waiting = 0;

/** Follow the service's stream of events for the map's sake. */
export function live(drawn) {
  if (!drawn) return;
  map = drawn;
  follow((event, data) => {
    const layer = event === "layer" ? data.layer : LAYER_OF[event];
    if (event === "reset") Object.keys(map.getStyle().sources).forEach(touch);
    else if (layer) touch(layer);
  });
}

/** Many changes in a moment are one redraw. */
function touch(name) {
  touched.add(name);
  waiting ||= setTimeout(redraw, GATHER_MS);
}

function redraw() {
  waiting = 0;
  for (const name of touched) if (map.getSource(name)) map.refreshTiles(name);
  touched.clear();
}
