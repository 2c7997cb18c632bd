/** Numbers of a test as a person says them: never more than the numbers hold. */

import { categoryName } from "./categories.js";
import { h } from "./dom.js";
import { locale, t } from "./i18n.js";

/** From this count on a percentage says something. */
const FEW = 10;
const CHANCES = [
  [0.0005, "chance.0001"],
  [0.0015, "chance.001"],
  [0.01, "chance.01"],
  [0.05, "chance.05"],
];

/** A p-value in words. */
export function chance(p) {
  const known = CHANCES.find(([limit]) => p < limit);
  return known ? t(known[1]) : t("chance.more", { percent: Math.round(100 * p) });
}

/** Observed against expected in words; a percentage only from ten on. */
export function compared(n, expected) {
  if (!expected) return t(n ? "ratio.none" : "ratio.same");
  const ratio = n / expected;
  if (ratio < 0.9) return t("ratio.fewer");
  if (ratio <= 1.1) return t("ratio.same");
  if (ratio >= 1.95) return t("ratio.double", { ratio: Number(ratio.toFixed(1)) });
  return n >= FEW ? t("ratio.more", { percent: Math.round(100 * (ratio - 1)) }) : t("ratio.some");
}

/** What an answer says of days of its period that are not, or not wholly, known, and of categories that its tests
 * leave out; false where there are none. */
export function caveat({ unrecorded, provisional: late, silent = [], without = [], unreported }) {
  const isOut = ({ category, source }) => without.includes(category ?? source);
  const parts = [
    missing(unrecorded),
    inside(unrecorded),
    filling(late),
    lateRows(unreported),
    silence("silent.untested", silent.filter((one) => !isOut(one))),
    silence("silent.without", silent.filter(isOut)),
  ];
  const said = parts.filter(Boolean);
  return said.length > 0 && said.join(t("caveat.and"));
}

/** The paragraph that says so; nothing where there is nothing to say. */
export const caution = (found) => caveat(found) && h("p", { class: "quiet provisional" }, caveat(found));

const minute = (moment) => moment.slice(0, 16).replace("T", " ");

function missing(found) {
  return found?.days > 0 && t("unrecorded.out", { days: number(found.days, 1), until: minute(found.records_end) });
}

function inside(found) {
  return found?.inside > 0 && t("unrecorded.inside", { days: number(found.inside, 1) });
}

/** What was silent in a part of the periods compared, each with its first and last day; false for nothing. */
export function silence(words, found) {
  const names = found.map(({ category, source, area_name, first, last }) => {
    const other = category === null ? t("silent.asked") : categoryName(category);
    const name = area_name ?? (source ? t(`value.${source}`) : other);
    return t(first === null ? "silent.began" : last === null ? "silent.ended" : "silent.paused", { name, first, last });
  });
  return names.length > 0 && t(words, { names: names.join(t("without.and")) });
}

/** Rows that are not tested since too much of them is still to be reported: some by name where any has one, and
 * how many. */
function lateRows(found) {
  if (!found) return false;
  if (found.named.length === 0) return t("unreported.few", { rows: number(found.rows) });
  const names = found.named.slice(0, 3).map(({ name, category }) => {
    const what = category ? categoryName(category) : t("category.all");
    return t("unreported.one", { name, what });
  });
  return t("unreported.rows", { rows: number(found.rows), names: names.join(t("without.and")) });
}

function filling(late) {
  if (!late) return false;
  const words = { since: late.since.slice(0, 10), days: number(late.delay_days, 1), count: number(late.incidents) };
  return t(late.left_out ? "provisional.out" : "provisional.in", words);
}

/** A number with at most so many decimals, as the language writes it; a dash where it is not known. */
export const number = (value, digits = 0) =>
  value === null || value === undefined
    ? "–"
    : value.toLocaleString(locale(), { maximumFractionDigits: digits });
