/** The draft's lowest grids as a table beside the map: what each has, how far out of the range, which are locked. */

import { number } from "./analysis-words.js";
import { $, fill, h, refill } from "./dom.js";
import { locale, t } from "./i18n.js";
import { zoomTo } from "./plan-map.js";
import { lock, measureBy, nameOf, onOpen, open, pickOnly } from "./plan-store.js";
import { canEdit, doing } from "./plan-tools.js";
import { onChange } from "./state.js";

const AT_FIRST = 100;
const SQUARE_METRES = 10_000;
const COLUMNS = ["name", "households", "off", "area_m2"];

let sorted = { by: "off", down: true };
let most = AT_FIRST;
/** The id of what had the focus in the table, while there is none. */
let left = "";

/** Keep the table that of the open draft. */
export function grids() {
  onOpen((what) => ["plan", "table", "locked", "picked"].some((part) => what.has(part)) && show());
  onChange((changed) => changed.has("lang") && show());
}

function show() {
  // Its room is kept from the beginning, so that the map does not jump.
  $("#grids").hidden = !open.plan;
  const { activeElement: focused } = document;
  if ($("#grids-table").contains(focused)) left = focused.id;
  if (!open.table) return void fill($("#grids-table"), h("p", { class: "quiet" }, t("table.wait")));
  const rows = open.table.rows.map((row) => ({ ...row, name: nameOf(row.code) })).sort(order);
  const out = rows.filter(({ off }) => off !== 0).length;
  const rest = rows.length - most;
  refill($("#grids-table"),
    h("p", { class: "row" }, bounds(), h("span", { class: "quiet", id: "out-of-range" }, t("table.out", { out, all: rows.length }))),
    h("table", {}, h("thead", {}, h("tr", {}, COLUMNS.map(heading), h("th", {}, t("table.lock")))), h("tbody", {}, rows.slice(0, most).map(line))),
    rest > 0 && h("button", { type: "button", class: "button", id: "table-more", "data-then": `lock-${rows.at(most - 1)?.code}`, onclick: more }, t("table.more", { count: rest })));
  if (left && document.activeElement === document.body) document.getElementById(left)?.focus({ preventScroll: true });
  left = "";
}

function more() {
  most += 10 * AT_FIRST;
  show();
}

/** What the rows are sorted by: a name by the language's order, what is out of the range by how far. */
function order(one, other) {
  const by = sorted.by === "name" ? one.name.localeCompare(other.name, locale()) : size(one) - size(other);
  return (sorted.down ? -by : by) || one.code.localeCompare(other.code);
}

const size = (row) => (sorted.by === "off" ? Math.abs(row.off) : row[sorted.by]);

function heading(name) {
  const turn = () => {
    sorted = { by: name, down: sorted.by === name ? !sorted.down : name !== "name" };
    show();
  };
  const way = sorted.by === name ? (sorted.down ? "descending" : "ascending") : null;
  return h("th", { scope: "col", "aria-sort": way }, h("button", { type: "button", class: "link", id: `sort-${name}`, "data-sort": name, onclick: turn }, t(`table.${name}`)));
}

function bounds() {
  const [low, high] = ["low", "high"].map((name) => h("input", { type: "number", min: 1, value: open.range[name], "aria-label": t(`suggest.${name}`), id: `range-${name}` }));
  const take = () => doing(measureBy, { low: Number(low.value), high: Number(high.value) });
  for (const input of [low, high]) input.addEventListener("change", take);
  return h("span", { class: "row" }, t("table.range"), low, "–", high);
}

/** Why a grid stayed out of the range at the last suggestion. */
function reason(code, off) {
  const why = off !== 0 && open.reasons.get(code);
  return why && h("small", {}, t(`reason.${why}`));
}

function line(row) {
  const { code, name, households, off } = row;
  const grid = open.grids.get(code);
  const visit = () => {
    pickOnly(open.level === grid.properties.level && !open.locked.has(code) ? [code] : []);
    zoomTo([grid.geometry]);
  };
  const box = h("input", { type: "checkbox", id: `lock-${code}`, checked: open.locked.has(code), disabled: !canEdit(), "aria-label": t("table.lock.of", { name }), onchange: () => lock(code) });
  const way = off < 0 ? "below" : off > 0 ? "above" : "within";
  return h("tr", { "data-code": code, "data-change": grid?.properties.change, "aria-selected": String(open.picked.includes(code)) },
    h("th", { scope: "row" }, h("button", { type: "button", class: "link", id: `visit-${code}`, onclick: visit }, name)),
    h("td", {}, number(households)),
    h("td", { class: way }, off === 0 ? t("table.within") : t(`table.${way}`, { count: Math.abs(off) }), reason(code, off)),
    h("td", {}, number(row.area_m2 / SQUARE_METRES, 1)), h("td", {}, box));
}
