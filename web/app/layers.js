/** Switches for the layers of the catalogue; what is hidden is a wish like any other. */

import { $, fill, h } from "./dom.js";
import { pick, t } from "./i18n.js";
import { change, onChange, state } from "./state.js";

const HIDDEN_AT_FIRST = "cameras,incidents,places";
const NONE = "none";

let catalogue = [];
let zoom = 0;

/** Show one switch per layer. */
export function layerSwitches(found) {
  catalogue = found;
  if (state.hidden === null) change({ hidden: HIDDEN_AT_FIRST });
  onChange((changed) => (changed.has("lang") || changed.has("hidden")) && show());
  show();
}

/** The names of hidden layers. */
export const hidden = () =>
  (state.hidden ?? HIDDEN_AT_FIRST).split(",").filter((name) => name && name !== NONE);

/** Whether a layer of the catalogue had nothing in it as the page opened. */
export const isEmpty = (name) => catalogue.some((layer) => layer.name === name && layer.count === 0);

/** Tell which layers need more zoom to be seen. */
export function zoomed(now) {
  const before = zoom;
  zoom = Math.floor(now);
  if (before !== zoom) show();
}

function toggle(name) {
  const now = new Set(hidden());
  if (!now.delete(name)) now.add(name);
  change({ hidden: [...now].join(",") || NONE });
}

function show() {
  fill($("#layers"), catalogue.map(row));
}

function row(layer) {
  const checked = !hidden().includes(layer.name);
  const box = h("input", { type: "checkbox", checked, name: layer.name, onchange: () => toggle(layer.name) });
  const waits = checked && layer.minzoom > zoom && h("small", {}, t("layers.zoom"));
  const count = h("span", { class: "count" }, layer.count.toLocaleString());
  return h("li", {}, h("label", {}, box, h("span", {}, pick(layer.title.zh, layer.title.en)), waits, count));
}
