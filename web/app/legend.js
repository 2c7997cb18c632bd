/** The legend, from the style's own entries; only of layers that are shown, with the numbers of the period. */

import { $, fill, h, swatch } from "./dom.js";
import { pick, t } from "./i18n.js";
import { RATIOS, countBreaks, onValues } from "./hotspots.js";
import { hidden, isEmpty } from "./layers.js";
import { styleLegend } from "./map.js";
import { onChange } from "./state.js";

/** Keep the legend true to style, layers and values. */
export function legend(map) {
  $("#legend").hidden = !map;
  map?.on("style.load", show);
  onChange((changed) => (changed.has("lang") || changed.has("hidden")) && show());
  onValues(show);
  show();
}

function show() {
  const entries = styleLegend().filter(({ layer }) => !hidden().includes(layer) && !isEmpty(layer));
  fill(
    $("#legend-items"),
    entries.map(({ layer, items }) => (layer === "hotspots" ? cells(items) : list(items))),
  );
}

function list(items) {
  return h(
    "ul",
    { class: "keys" },
    items.map((item) => h("li", {}, swatch(item), pick(item.label.zh, item.label.en))),
  );
}

function cells(items) {
  const hot = items.filter((item) => item.significant);
  const quiet = items.filter((item) => !item.significant).slice(0, countBreaks().length);
  return [
    hot.length > 0 && ramp(
      "hot",
      hot,
      RATIOS.map((limit, rank) => between(limit, RATIOS[rank + 1], "×")),
    ),
    ramp(
      hot.length > 0 ? "quiet" : "untested",
      quiet,
      countBreaks().map((limit, rank) => counts(limit, countBreaks()[rank + 1])),
    ),
  ];
}

function ramp(name, items, labels) {
  const keys = items.map((item, rank) => h("li", {}, swatch(item), h("span", {}, labels[rank])));
  return h(
    "div",
    { class: "ramp" },
    h("h3", {}, t(`legend.${name}`)),
    h("ul", {}, keys),
    h("small", {}, t(name === "hot" ? "legend.hot.scale" : "legend.quiet.scale")),
  );
}

const between = (low, next, unit) => (next === undefined ? `≥${low}${unit}` : `${low}–${next}${unit}`);

/** Counts are whole: a rank reaches to one below the next. */
function counts(low, next) {
  if (next === undefined) return `≥${low}`;
  return next - 1 === low ? String(low) : `${low}–${next - 1}`;
}
