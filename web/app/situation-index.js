/** The stability index on the board: lights, parts and interval of each grid, and the formula they come from. */

import { caution, number } from "./analysis-words.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { pick, t } from "./i18n.js";
import { asked } from "./period.js";
import { shownRecord } from "./record.js";

const ROWS = 200;

/** The nodes of the index at the level chosen. */
export async function stabilityIndex({ levels }) {
  const choice = levels(false);
  const { from, to } = asked();
  const found = await get("/stability-index", { ...shownRecord(), from, to, level: choice.value, limit: ROWS });
  return [
    h("p", { class: "choice" }, choice, lights(found.lights)),
    caution(found),
    formula(found.formula),
    h("p", { class: "quiet" }, t("index.honest")),
    table(found),
  ];
}

const lamp = (light) => h("span", { class: `lamp ${light ?? "none"}` }, t(`light.${light ?? "none"}`));

const lights = (counts) => Object.entries(counts).map(([light, count]) => h("span", {}, lamp(light), ` ${count} `));

function formula({ version, valid_from: date, green, red, part }) {
  const parts = part.map((one) => {
    const name = pick(one.title_zh, one.title_en);
    return h("li", {}, t("index.part", { name, weight: one.weight, best: one.best, worst: one.worst }));
  });
  return h("details", { open: true }, h("summary", {}, t("index.formula", { version, date, green, red })), h("ul", {}, parts));
}

function table({ index, formula: { part } }) {
  const names = ["situation.grid", "index.value", "index.rank"];
  const head = [...names.map((name) => t(name)), ...part.map((one) => pick(one.title_zh, one.title_en))];
  const rows = index.map((row) => h("tr", { "data-code": row.code, "data-light": row.light }, cells(row, part)));
  const titles = h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, titles), h("tbody", {}, rows)));
}

function cells(row, part) {
  const go = h("button", { type: "button", class: "link", onclick: () => visitGrid(row.code) }, row.name);
  const ranks = { first: row.rank_first, last: row.rank_last };
  const made = [go, value(row), row.rank ?? t("index.between", ranks), ...part.map((one) => points(row.parts?.[one.name]))];
  return made.map((cell) => h("td", {}, cell));
}

function value({ light, value: points, low, high }) {
  if (points === null) return lamp(null);
  return [lamp(light), ` ${number(points, 0)} `, h("small", {}, `(${number(low, 0)}–${number(high, 0)})`)];
}

/** The points of a part with their interval, and what was measured. */
function points(part) {
  if (!part) return "–";
  const ends = `(${number(part.low, 0)}–${number(part.high, 0)})`;
  return [`${number(part.points, 0)} `, h("small", {}, ends, part.measured === null ? "" : ` ← ${number(part.measured, 2)}`)];
}
