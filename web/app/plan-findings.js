/** What comes of a draft: faults with their place, and who and what changes owner, before it is approved. */

import { $, h, refill } from "./dom.js";
import { pick as choose, locale, t } from "./i18n.js";
import { zoomTo } from "./plan-map.js";
import { inPlanWords, obstacle } from "./plan-refusals.js";
import { nameOf, named, onOpen, open } from "./plan-store.js";
import { onChange } from "./state.js";

const COUNTED = ["buildings", "cameras", "places", "incidents", "staff"];
const MOST = 100;
/** The least share that is told as a number. */
const LEAST_SHARE = 0.001;

export function findings() {
  onOpen((what) => (what.has("plan") || what.has("faults") || what.has("impact")) && show());
  onChange((changed) => changed.has("lang") && show());
}

function show() {
  const there = open.plan && open.faults && open.impact;
  $("#findings").hidden = !there;
  if (there) refill($("#findings"), faults(open.faults), impact(open.impact), work(open.impact), lineage(open.impact));
}

const block = (title, id, ...content) => h("section", { class: "block", id }, h("h2", {}, title), content);
const number = (value) => value?.toLocaleString(locale(), { maximumFractionDigits: 1 }) ?? "–";

function faults(found) {
  const { features, errors, advice } = found;
  const why = obstacle(found);
  const row = ({ properties: fault, geometry }) => h("li", {}, h("button", { type: "button", class: `fault ${fault.severity}`, onclick: () => zoomTo([geometry], 160) },
    h("b", {}, t(`severity.${fault.severity}`)), h("span", {}, named(choose(fault.message_zh, fault.message_en), fault.codes))));
  return block(t("faults.title", { errors, advice }), "faults",
    h("p", { class: why ? "verdict bad" : "verdict good", role: "status" }, why || t("faults.none")),
    features.length > 0 && h("details", { id: errors > 0 ? "faults-errors" : "faults-advice", open: errors > 0 || features.length < 8 }, h("summary", {}, t("faults.list", { count: features.length })),
      h("ul", { class: "faults" }, features.slice(0, MOST).map(row)), features.length > MOST && h("p", { class: "quiet" }, t("faults.more", { count: MOST }))));
}

/** Of which map the impact is told, where that is not the one of the plan's day alone. */
function told({ final, conflicts, until, why }) {
  if (!final) return h("p", { class: "verdict bad", id: "impact-against" }, why ? inPlanWords(why) : t("impact.conflicts", { codes: conflicts.map(nameOf).join(t("list.and")) }));
  return until && h("p", { class: "quiet", id: "impact-against" }, t("impact.until", { day: until }));
}

function impact({ counts, lists, more, against }) {
  const amount = (name) => (typeof counts[name] === "object" ? counts[name].objects : counts[name]) ?? 0;
  const households = counts.households ?? 0;
  const tile = (name) => h("li", {}, h("strong", { "data-count": name }, number(amount(name))), h("span", {}, t(`impact.${name}`)));
  const parts = COUNTED.filter((name) => lists[name]?.length).map((name) => h("details", { id: `moved-${name}` },
    h("summary", {}, `${t(`impact.${name}`)} ${number(amount(name))}`),
    h("ul", { class: "moved" }, lists[name].map((one) => moved(one))), more[name] && h("p", { class: "quiet" }, t("impact.more", { count: lists[name].length }))));
  const any = COUNTED.some((name) => amount(name));
  return block(t("impact.title"), "impact", told(against),
    h("ul", { class: "tiles" }, tile("buildings"), h("li", {}, h("strong", { "data-count": "households" }, number(households)), h("span", {}, t("impact.households"))), COUNTED.slice(1).map(tile)),
    any ? h("p", { class: "quiet" }, t("impact.map")) : h("p", { class: "quiet" }, t("impact.none")), parts);
}

function moved(one) {
  const label = one.name || one.code || one.address || one.id;
  const way = h("small", {}, `${nameOf(one.before) || t("impact.nobody")} → ${nameOf(one.after) || t("impact.nobody")}`);
  const at = one.lon !== undefined && { type: "Point", coordinates: [one.lon, one.lat] };
  return h("li", {}, at ? h("button", { type: "button", class: "link", onclick: () => zoomTo([at]) }, label) : h("span", {}, label), way);
}

/** Each grid's work before and after: a number that changed is shown with what it was. */
function work({ workload }) {
  const columns = ["households", "incidents_month", "area_m2", "road_m"];
  const shown = { area_m2: (value) => number(value / 1e4), road_m: (value) => number(value / 1000) };
  const say = (name, value) => (value === undefined || value === null ? "–" : (shown[name] ?? number)(value));
  const cell = (name, { before, after }) => {
    const [old, now] = [say(name, before?.[name]), say(name, after?.[name])];
    return h("td", {}, old === now ? now : [h("s", {}, old), " ", h("b", {}, now)]);
  };
  const row = (grid) => h("tr", {}, h("th", { scope: "row" }, nameOf(grid.code), !grid.before && h("em", {}, t("work.new")), !grid.after && h("em", {}, t("work.gone"))), columns.map((name) => cell(name, grid)));
  if (!workload.length) return null;
  return block(t("work.title"), "work", h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, t("work.grid")), columns.map((name) => h("th", {}, t(`work.${name}`))))),
    h("tbody", {}, workload.slice(0, MOST).map(row))));
}

function lineage({ lineage: rows }) {
  if (!rows.length) return null;
  const inPercent = (share) => share.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 1 });
  const percent = (share) => (share > 0 && share < LEAST_SHARE ? `< ${inPercent(LEAST_SHARE)}` : inPercent(share));
  const row = ({ before, after, kind, area_share: area, household_share: homes }) => h("li", {},
    h("span", {}, `${nameOf(before)} → ${nameOf(after)}`), h("small", {}, `${t(`lineage.${kind}`)} · ${t("lineage.shares", { area: percent(area), homes: percent(homes) })}`));
  return block(t("lineage.title"), "lineage", h("details", { id: "lineage-list" }, h("summary", {}, t("lineage.list", { count: rows.length })), h("ul", { class: "moved" }, rows.slice(0, MOST).map(row))));
}
