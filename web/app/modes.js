/** What the hexagons show: hotspots, how places emerged, or risk; one at a time. */

import { lay, takeColours } from "./cells.js";
import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { session } from "./session.js";
import { change, onChange, state } from "./state.js";
import { tell } from "./toast.js";

const USUAL = "hotspots";
/** The names of layers whose right lets somebody see a mode. */
const NEEDS = { hotspots: "hotspots", emerging: "emerging", risk: "risk" };

const modes = new Map();
let map = null;
let waiting = null;

/** The mode in use. */
export const mode = () => (modes.has(state.show) ? state.show : USUAL);

/** Offer a mode: `show(signal)` fetches and paints, and gives the nodes that explain it. */
export function offer(name, show) {
  if (session().layers.includes(NEEDS[name])) modes.set(name, show);
}

/** Keep the map in the mode chosen. */
export function showModes(drawn) {
  map = drawn;
  map?.on("moveend", refresh);
  map?.on("style.load", () => {
    takeColours(map);
    refresh();
  });
  onChange((changed) => {
    if (["from", "to", "category", "show", "lang"].some((name) => changed.has(name))) refresh();
  });
  takeColours(map);
  refresh();
}

async function refresh() {
  buttons();
  const name = mode();
  document.body.dataset.show = name;
  waiting?.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  $("#mode").hidden = name === USUAL;
  $("#mode").classList.add("busy");
  try {
    const told = await modes.get(name)?.(signal);
    if (!signal.aborted) fill($("#mode"), told ?? []);
  } catch (error) {
    tell(error);
    if (!signal.aborted) refused(error);
  } finally {
    if (!signal.aborted) $("#mode").classList.remove("busy");
  }
}

/** Show why a mode has nothing to show: what another one left on the map would pass for its answer. */
function refused(error) {
  lay(map, []);
  fill($("#mode"), h("p", { class: "quiet" }, error.message));
}

function buttons() {
  $("#modes").closest("section").hidden = modes.size < 2;
  fill(
    $("#modes"),
    [...modes.keys()].map((name) =>
      h(
        "button",
        { type: "button", "aria-pressed": String(name === mode()), onclick: () => change({ show: name }) },
        t(`mode.${name}`),
      ),
    ),
  );
}
