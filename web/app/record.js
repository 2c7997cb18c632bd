/** Which record of grids is shown: a scheme, the day on which borders are in force, and the revision as known. */

import { $, fill, h } from "./dom.js";
import { locale, pick, t } from "./i18n.js";
import { change, onChange, state } from "./state.js";

const NAMES = ["scheme", "on", "known"];

let city = null;

/** The record as parameters of a question; empty ones mean the default, today and the newest. */
export const shownRecord = () => ({ scheme: state.scheme, on: state.on, known: state.known });

/** Whether a set of changed names holds one of the record. */
export const isOfRecord = (changed) => NAMES.some((name) => changed.has(name));

/** Offer the schemes, days and revisions that were imported. */
export function records(of) {
  city = of;
  onChange((changed) => {
    // Levels, extent and counts are others: the page begins anew.
    if (changed.has("scheme")) location.reload();
    else if (isOfRecord(changed) || changed.has("lang")) show();
  });
  show();
}

function show() {
  fill($("#record"), h("h2", {}, t("record.title")), h("p", { class: "quiet" }, t("record.what")), schemes(), day(), revisions());
  notice();
}

function schemes() {
  if (city.schemes.length < 2) return null;
  const options = city.schemes.map((one) => h("option", { value: one.name }, pick(one.title_zh, one.title_en)));
  return chosen("scheme", options, city.scheme);
}

function revisions() {
  const when = (moment) => new Date(moment).toLocaleString(locale(), { timeZone: city.timezone, dateStyle: "medium", timeStyle: "short" });
  const newest = h("option", { value: "" }, t("record.newest"));
  const older = city.revisions.slice(1).map((one) => h("option", { value: one.id }, t("record.revision", { id: String(one.id), when: when(one.known_at) })));
  return chosen("known", [newest, older], state.known);
}

function chosen(name, options, value) {
  const choice = h("select", { id: `record-${name}`, onchange: ({ target }) => change({ [name]: target.value }) }, options);
  choice.value = value;
  return h("label", {}, t(`record.${name}`), choice);
}

function day() {
  const input = h("input", { id: "record-on", type: "date", value: state.on, onchange: ({ target }) => change({ on: target.value }) });
  return h("label", {}, t("record.on"), input);
}

/** What is not of now is said above the map, with the way back. */
function notice() {
  const told = [
    state.on && t("record.shown.on", { on: state.on }),
    state.known && t("record.shown.known", { known: state.known }),
  ].filter(Boolean);
  const back = h("button", { type: "button", class: "link", onclick: () => change({ on: "", known: "" }) }, t("record.back"));
  fill($("#record-notice"), t("record.shown", { what: told.join(t("record.and")) }), " ", back);
  $("#record-notice").hidden = told.length === 0;
}
