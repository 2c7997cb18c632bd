/** Hears what is committed while the page is open, and draws the layers that it touched anew. */

const GATHER_MS = 400;
const RETRY_MS = 5_000;
const LAYER_OF = { incident: "incidents", responder: "responders" };

const touched = new Set();
let map = null;
let stream = null;
let waiting = 0;

/** Follow the service's stream of events for the map's sake. */
export function live(drawn) {
  if (!drawn) return;
  map = drawn;
  listen();
  addEventListener("pagehide", () => stream.close());
}

function listen() {
  stream = new EventSource("/events");
  stream.addEventListener("layer", ({ data }) => touch(JSON.parse(data).layer));
  for (const [event, layer] of Object.entries(LAYER_OF)) stream.addEventListener(event, () => touch(layer));
  stream.addEventListener("reset", startAnew);
  stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && startAnew());
}

/** Something was missed, or the service refused: everything is drawn anew, and the stream opened again. */
function startAnew() {
  stream.close();
  for (const name of Object.keys(map.getStyle().sources)) touch(name);
  setTimeout(listen, RETRY_MS);
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
