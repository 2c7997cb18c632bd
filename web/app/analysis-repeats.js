/** Where incidents repeat: buildings, addresses and street segments, and how few of them hold how many. */

import { caveat, number } from "./analysis-words.js";
import { get } from "./api.js";
import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { goToBox } from "./map.js";
import { asked } from "./period.js";
import { session } from "./session.js";
import { onChange } from "./state.js";
import { tell } from "./toast.js";

const KINDS = ["building", "address", "segment"];
const PLACES = 5;
/** Degrees around a place that is gone to. */
const AROUND = 0.002;

let kind = KINDS[0];
let waiting = null;

/** Offer the repeat places of the period to whom they are open; they are asked for once opened. */
export function repeats() {
  if (!session().layers.includes("risk")) return;
  $("#repeats").hidden = false;
  onChange((changed) => {
    if (["from", "to", "category", "lang"].some((name) => changed.has(name))) show();
  });
  show();
}

function show() {
  const folded = h("details", { id: "repeats-fold", open: $("#repeats-fold")?.open ?? false }, h("summary", {}, t("repeats.title")));
  const holder = h("div", {});
  folded.append(h("div", { class: "presets", role: "group" }, KINDS.map(button)), holder);
  folded.addEventListener("toggle", () => folded.open && !holder.childElementCount && refresh(holder));
  fill($("#repeats"), folded);
  if (folded.open) refresh(holder);
}

function button(name) {
  const choose = () => {
    kind = name;
    show();
  };
  return h("button", { type: "button", "aria-pressed": String(name === kind), onclick: choose }, t(`repeats.${name}`));
}

async function refresh(holder) {
  waiting?.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  fill(holder, h("p", { class: "quiet" }, t("repeats.wait")));
  try {
    const found = await get("/repeat-places", { ...asked(), by: kind, limit: PLACES }, signal);
    if (!signal.aborted) fill(holder, told(found));
  } catch (error) {
    fill(holder, error.name !== "AbortError" && h("p", { class: "quiet" }, error.message));
    tell(error);
  }
}

function told(found) {
  const late = caveat(found);
  if (!found.rows.length) return h("p", { class: "quiet" }, t("repeats.none", { units: number(found.units) }));
  return [
    late && h("p", { class: "quiet" }, late),
    h("p", { class: "words" }, t("repeats.sum", { places: number(found.repeated), incidents: number(found.repeated_incidents), all: number(found.incidents) })),
    h("dl", {}, found.top.map(share)),
    found.without_place > 0 && h("p", { class: "quiet" }, t("repeats.without", { count: number(found.without_place) })),
    h("ol", { class: "places" }, found.rows.map(row)),
  ];
}

const percent = (value) => number(100 * value, 0);

function share({ of_places: of, share: held, low, high }) {
  const words = { share: percent(held), low: percent(low), high: percent(high) };
  return [
    h("dt", {}, t("repeats.top", { top: percent(of) })),
    h("dd", { "data-top": of, "data-share": held }, h("strong", {}, t("repeats.share", words)), h("small", {}, t("repeats.chance", words))),
  ];
}

function row({ id, name, count, rate, low, high, lon, lat }) {
  const visit = () => goToBox([lon - AROUND, lat - AROUND, lon + AROUND, lat + AROUND]);
  const place = name ?? (lon === null ? "–" : `${lon.toFixed(4)}, ${lat.toFixed(4)}`);
  const words = { rate: number(rate, 1), low: number(low, 1), high: number(high, 1) };
  return h(
    "li",
    { "data-id": id, "data-count": count },
    lon === null ? h("span", {}, place) : h("button", { type: "button", class: "plain", onclick: visit }, place),
    h("b", {}, t("repeats.count", { count })),
    rate !== null && h("small", {}, t("repeats.rate", words)),
  );
}
