/** What of a draft's ground several grids claim, or none: who should have it, taken one by one or together. */

import { h } from "./dom.js";
import { locale, t } from "./i18n.js";
import { zoomTo } from "./plan-map.js";
import { mend, nameOf, open } from "./plan-store.js";
import { doing } from "./plan-tools.js";

const MOST = 100;

/** The proposals as a block of the panel: looked for when asked, and anew after each step of the draft. */
export function mending() {
  const { proposals } = open;
  return h("details", { class: "block", id: "mending" }, h("summary", {}, t("mend.title")), h("p", { class: "quiet" }, t("mend.what")),
    h("p", { class: "row" }, button("mend.look", () => doing(mend, null)),
      proposals?.features.some(({ properties }) => properties.sure) && button("mend.sure", () => doing(mend, "sure"), "main")),
    proposals && listed(proposals));
}

const button = (key, onclick, kind = "", id = key.replaceAll(".", "-")) =>
  h("button", { type: "button", class: `button ${kind}`, id, onclick }, t(key));
const number = (value) => value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 2 : 0 });

function listed({ features, count }) {
  if (!count) return h("p", { class: "quiet", role: "status" }, t("mend.none"));
  return [h("ul", { class: "faults", id: "proposals" }, features.slice(0, MOST).map(row)), count > MOST && h("p", { class: "quiet" }, t("faults.more", { count: MOST }))];
}

function row({ properties: one, geometry }) {
  const way = one.to ? t("mend.to", { name: nameOf(one.to) }) : t("mend.nobody");
  return h("li", {},
    h("button", { type: "button", class: "fault", onclick: () => zoomTo([geometry], 160) },
      h("b", {}, t(`mend.${one.kind}`)), h("span", {}, `${one.codes.map(nameOf).join(t("list.and"))} · ${number(one.area_m2)} m² · ${way}`)),
    one.to && h("button", { type: "button", class: "link", id: `accept-${one.number}`, "data-accept": one.number, onclick: () => doing(mend, [one.number]) }, t("mend.accept")),
    !one.sure && h("small", {}, t("mend.meant")));
}
