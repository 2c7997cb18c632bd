/** The situation: which grids depart from their own past, in short beside the map and in full on a board. */

import { caution, number } from "./analysis-words.js";
import { get } from "./api.js";
import { categoryName } from "./categories.js";
import { $, fill, h, icon } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { pick, t } from "./i18n.js";
import { asked } from "./period.js";
import { isOfRecord, shownRecord } from "./record.js";
import { session } from "./session.js";
import { alarms } from "./situation-alarms.js";
import { evaluation } from "./situation-evaluation.js";
import { stabilityIndex } from "./situation-index.js";
import { letters } from "./situation-letters.js";
import { onChange } from "./state.js";
import { tell } from "./toast.js";

const IN_SHORT = 5;
const ROWS = 50;
const LEAST_Q = 0.001;
const TABS = { situation: board, index: stabilityIndex, letters, alarms, evaluation };

let levels = [];
let waiting = null;
let tab = "situation";
let level = "";
let offset = 0;

/** Keep the situation that of the period and category, for whom it is open. */
export function situation(city) {
  if (!session().layers.includes("risk")) return;
  ({ levels } = city);
  $("#situation").hidden = false;
  onChange((changed) => {
    if (["from", "to", "category", "lang"].some((name) => changed.has(name)) || isOfRecord(changed)) refresh();
  });
  refresh();
}

async function refresh() {
  waiting?.abort();
  waiting = new AbortController();
  const { signal } = waiting;
  try {
    const found = await get("/situation", { ...asked(), ...shownRecord(), only: "departures", limit: IN_SHORT }, signal);
    if (!signal.aborted) short(found);
  } catch (error) {
    if (error.status === 422) fill($("#situation"), h("h2", {}, t("situation.title")), h("p", { class: "quiet summary" }, error.message));
    tell(error);
  }
}

function short(found) {
  const words = { comparisons: found.comparisons, departing: found.departing, periods: found.periods };
  const said = !found.tested ? untested(found) : found.departing ? "situation.some" : "situation.none";
  const open = () => {
    tab = "situation";
    offset = 0;
    draw();
    $("#board").showModal();
  };
  fill(
    $("#situation"),
    h("h2", {}, t("situation.title")),
    h("p", { class: "summary", "data-departing": found.departing }, t(said, words)),
    caution(found),
    h("ol", { class: "places" }, found.situation.map(shortRow)),
    h("button", { type: "button", class: "button", onclick: open }, t("situation.open")),
  );
}

function shortRow(row) {
  return h(
    "li",
    { "data-code": row.code, "data-category": row.category },
    place(row),
    verdict(row),
    h("small", {}, kindOf(row), " · ", line(row)),
  );
}

/** The grid of a row; a city of several highest grids has a row of the whole, which is none. */
const place = ({ code, name }) =>
  code ? h("button", { type: "button", class: "link", onclick: () => visitGrid(code) }, name) : h("strong", {}, t("situation.whole"));

const kindOf = ({ category }) => (category ? categoryName(category) : t("category.all"));
const line = (row) => t("situation.line", { ...row, count: counted(row), expected: few(row.expected) });
/** The count, and what of it is held against the past where that is not all. */
const counted = ({ count, compared }) =>
  compared === null || compared === count ? count : t("situation.compared", { count, compared });

function verdict({ departs, q }) {
  if (q === null) return h("span", { class: "quiet" }, t("situation.unknown"));
  const way = { above: "more", below: "fewer" }[departs] ?? "same";
  return h("b", { class: `change ${way}` }, t(`situation.${departs ?? "usual"}`));
}

/** Draw the board: its tabs, and what the chosen one shows. */
async function draw() {
  const shown = tab;
  const body = h("div", { class: "busy", id: "board-body" });
  fill($("#board"), heading(), body);
  try {
    const nodes = await TABS[shown]({ level, levels: levelChoice, draw });
    if (shown === tab) fill(body, nodes);
  } catch (error) {
    tell(error);
  } finally {
    body.classList.remove("busy");
  }
}

function heading() {
  const close = { type: "button", class: "plain", "aria-label": t("details.close"), onclick: () => $("#board").close() };
  const named = Object.keys(TABS).map((name) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(name === tab), "data-tab": name, onclick: () => turnTo(name) },
      t(`${name}.title`),
    ),
  );
  return h("header", {}, h("div", { class: "presets" }, named), h("button", close, icon("close")));
}

function turnTo(name) {
  tab = name;
  offset = 0;
  draw();
}

/** A choice of the level of grids; `every` offers all of them. */
function levelChoice(every) {
  const options = levels.map((one) => h("option", { value: one.level }, pick(one.name_zh, one.name_en)));
  const choice = h("select", { "aria-label": t("situation.level") }, every && h("option", { value: "" }, t("situation.every")), options);
  choice.value = every ? level : level || String(levels[1]?.level ?? levels[0].level);
  choice.addEventListener("change", () => {
    level = choice.value;
    offset = 0;
    draw();
  });
  return choice;
}

async function board() {
  const found = await get("/situation", { ...asked(), ...shownRecord(), level, limit: ROWS, offset });
  const last = Math.min(found.rows, offset + ROWS);
  const words = { first: found.rows ? offset + 1 : 0, last, rows: found.rows, quiet: found.quiet };
  return [
    h("p", { class: "choice" }, levelChoice(true), t("situation.page", words)),
    found.without_grid > 0 && h("p", { class: "quiet" }, t("situation.outside", { count: found.without_grid })),
    caution(found),
    table(found.situation),
    h("p", { class: "choice" }, turn("back", -ROWS, offset > 0), turn("more", ROWS, last < found.rows)),
    h("p", { class: "quiet" }, t(found.tested ? "situation.method" : untested(found), { periods: found.periods })),
  ];
}

function turn(name, by, open) {
  const go = () => {
    offset += by;
    draw();
  };
  return open && h("button", { type: "button", class: "button", onclick: go }, t(`situation.${name}`));
}

const COLUMNS = ["grid", "level", "category", "count", "expected", "told", "q", "before", "closed", "response"];

function table(rows) {
  const head = COLUMNS.map((name) => h("th", { scope: "col" }, t(`situation.${name}`)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map(full))));
}

function full(row) {
  const cells = [
    place(row),
    levelName(row.level),
    kindOf(row),
    counted(row),
    row.expected === null ? "–" : `${few(row.expected)} (${row.low}–${row.high})`,
    verdict(row),
    row.q === null ? "–" : row.q < LEAST_Q ? `< ${LEAST_Q}` : number(row.q, 3),
    row.before ?? "–",
    row.closed === null ? "–" : `${share(row.closed)} (${share(row.closed_low)}–${share(row.closed_high)})`,
    lasting(row.response_s),
  ];
  return h("tr", { "data-code": row.code, "data-departs": row.departs }, cells.map((cell) => h("td", {}, cell)));
}

const levelName = (of) => {
  const one = levels.find((each) => each.level === of);
  return one ? pick(one.name_zh, one.name_en) : "–";
};
/** An expectation: what is less than a tenth would read as nothing with one decimal. */
const few = (value) => number(value, value < 0.1 ? 3 : 1);
const share = (value) => `${Math.round(100 * value)}%`;

function lasting(seconds) {
  if (seconds === null) return "–";
  const hours = seconds / 3600;
  return hours < 2
    ? t("situation.minutes", { minutes: Math.round(seconds / 60) })
    : t("situation.hours", { hours: number(hours, 1) });
}

/** The words for why nothing is tested: fewer than six periods before, or silent in some of them. */
function untested({ periods }) {
  return periods < 6 ? "situation.untested" : "situation.unused";
}
