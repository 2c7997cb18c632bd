/** Values of the hexagons for the period: fetched once per resolution, put on the map as feature state. */

import { get } from "./api.js";
import { caveat, number } from "./analysis-words.js";
import { clusters, unclustered } from "./analysis-clusters.js";
import { areas } from "./areas.js";
import { lay, nameOf, rankIn, resolution, widthOf } from "./cells.js";
import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { merged, resOf } from "./merged.js";
import { mode, offer } from "./modes.js";
import { asked } from "./period.js";
import { onChange, state } from "./state.js";
import { tell } from "./toast.js";

/** Where a ratio of observed to expected goes up a rank of the hot colours. */
export const RATIOS = [1, 1.5, 2, 3];
const RANKS = 5;

const listeners = [];
let map = null;
let cells = new Map();
let breaks = [1];
let waiting = null;
let shownFor = "";

/** Keep the hexagons' values those of period, category and zoom. */
export function hotspots(drawn) {
  map = drawn;
  map?.on("moveend", refresh);
  offer("hotspots", paint);
  onChange((changed) => {
    if (["from", "to", "category"].some((name) => changed.has(name))) refresh();
    if (changed.has("lang")) whole ? say() : refresh();
  });
  refresh();
}

/** Call `listen()` whenever there are new values. */
export const onValues = (listen) => listeners.push(listen);

/** The values of a cell, undefined where it held nothing in the period. */
export const valuesOf = (cell) => cells.get(cell);

/** The least count of each rank of the quiet colours. */
export const countBreaks = () => breaks;

let whole = null;

/** What the values shown were asked with: period, category and resolution. */
export const question = () => ({ ...asked(), res: resolution(map) });

async function refresh() {
  const query = question();
  const wanted = JSON.stringify(query);
  if (wanted === shownFor) return;
  shownFor = wanted;
  waiting?.abort();
  waiting = new AbortController();
  $("#summary").classList.add("busy");
  try {
    take(await get("/hotspots/values", query, waiting.signal));
    clusters(map, query, whole, waiting.signal);
  } catch (error) {
    tell(error);
    if (error.name !== "AbortError") refused(error);
  } finally {
    if (wanted === shownFor || shownFor === "") $("#summary").classList.remove("busy");
  }
}

/** Show why there are no values: those of the period before would pass for the answer. */
function refused(error) {
  shownFor = "";
  whole = null;
  cells = new Map();
  breaks = [1];
  if (mode() === "hotspots") paint();
  fill($("#summary"), h("span", {}, error.message));
  areas([], []);
  merged(map, [], resolution(map), breaks);
  unclustered(map);
  for (const listen of listeners) listen();
}

function take(answer) {
  whole = answer;
  cells = new Map(unfolded(answer).map((cell) => [cell.cell, cell]));
  breaks = geometric(quietCounts().reduce((most, count) => Math.max(most, count), 1));
  if (mode() === "hotspots") paint();
  say();
  areas([...cells.values()], whole.spots);
  merged(map, whole.released ? [...cells.values()] : [], whole.res, breaks);
  for (const listen of listeners) listen();
}

/** Whether a hexagon is of the size asked for; what the public is told of larger ones is drawn apart. */
const isOfSize = ({ cell }) => resOf(cell) === whole.res;
const quietCounts = () =>
  [...cells.values()].filter((one) => !one.significant && isOfSize(one)).map((one) => one.count);

/** Rank limits that grow by an equal factor from 1 to `most`, whole numbers, none twice. */
function geometric(most) {
  const limits = Array.from({ length: RANKS }, (_, rank) => Math.ceil(most ** (rank / RANKS) - 1e-9));
  return [...new Set(limits)];
}

const WAYS = { "-1": "falling", 0: "steady", 1: "rising" };

/** The columns of an answer as one object per cell. */
const unfolded = ({ id, count, ratio, p, significant, trend }) =>
  id.map((number, place) => ({
    cell: nameOf(number),
    count: count[place],
    ratio: ratio[place],
    p: p[place],
    significant: significant[place] === 1,
    trend: WAYS[trend[place]] ?? null,
  }));

function paint() {
  lay(map, [...cells.values()].filter(isOfSize).map((cell) => [cell.cell, look(cell)]));
}

function look({ count, ratio, significant }) {
  const rank = significant ? rankIn(RATIOS, ratio ?? Infinity) : rankIn(breaks, count);
  return { shown: true, significant, rank };
}

/** The months that the public is told of: all that the period touches. */
const wholeMonths = () => ({ first: state.from.slice(0, 7), last: state.to.slice(0, 7) });

function say() {
  if (!whole) return;
  if (!state.from || !state.to) return fill($("#summary"), h("span", {}, withheld() || t("hotspots.empty")));
  const lines = whole.incidents === null ? [] : counted();
  const untold = withheld();
  const late = caveat(whole);
  fill(
    $("#summary"),
    lines.map((line) => h("span", {}, line)),
    late && h("span", { class: "provisional" }, late),
    whole.expected_by === "area" &&
      h("span", { class: "area" }, t("hotspots.byarea", { percent: Math.round(100 * whole.housed) })),
    untold && h("strong", {}, untold),
    whole.incidents !== null && verdict(),
  );
}

function counted() {
  const hot = [...cells.values()].filter((cell) => cell.significant).length;
  const words = { incidents: whole.incidents, cells: cells.size, width: number(widthOf(whole.res)), hot };
  if (!whole.released) return [t("hotspots.summary", words), ...unplaced()];
  return [t("hotspots.counted", words), t("public.months", wholeMonths()), ...unplaced()];
}

const unplaced = () =>
  whole.without_place ? [t("hotspots.unplaced", { count: whole.without_place })] : [];

function verdict() {
  if ([...cells.values()].some((cell) => cell.significant)) return false;
  return [h("strong", {}, t(whole.released ? "hotspots.untested" : "hotspots.none")), couldHaveSeen(), daily()];
}

/** The smallest excess that would have shown: no hotspot is no proof that nothing is there. */
function couldHaveSeen() {
  if (!whole.detectable) return false;
  const { ratio, n, n_expected: expected } = whole.detectable;
  const words = { ratio: number(ratio, 1), n, expected: number(expected, 1) };
  return h("span", { class: "quiet", "data-ratio": ratio }, t("hotspots.seen", words));
}

const daily = () => !whole.released && h("span", { class: "quiet" }, t("hotspots.daily"));

/** What of the period the public is not told, empty where it is told all: a count that is withheld is no zero. */
function withheld() {
  const { withheld: runs, released } = whole;
  const [first, last] = released ?? [];
  if (!runs?.length) return whole.incidents === null && t("public.nothing");
  if (!first) return t("public.nothing");
  const months = runs.flatMap(unfold);
  const within = months.filter((month) => month >= first && month <= last);
  const beyond = months.filter((month) => month < first || month > last);
  return [
    within.length > 0 && t("public.withheld", { months: listed(within) }),
    beyond.length > 0 && t("public.outside", { months: listed(beyond), first, last }),
  ].filter(Boolean).join(" ");
}

/** The months of "2025-03" or "2026-01..2027-04". */
function unfold(run) {
  const [from, to = from] = run.split("..").map((month) => month.slice(0, 4) * 12 + (month.slice(5) - 1));
  return Array.from({ length: to - from + 1 }, (_, n) => nameOfMonth(from + n));
}

const nameOfMonth = (number) =>
  `${Math.floor(number / 12)}-${String((number % 12) + 1).padStart(2, "0")}`;

const MOST = 4;
const listed = (months) =>
  months.length > MOST
    ? t("public.many", { first: months[0], last: months.at(-1), count: months.length })
    : months.join(t("public.and"));
