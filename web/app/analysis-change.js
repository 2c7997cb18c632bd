/** Whether the period differs from earlier ones, where, and when in the day and week things happen. */

import { caveat, number } from "./analysis-words.js";
import { get } from "./api.js";
import { $, fill, h } from "./dom.js";
import { pick, t } from "./i18n.js";
import { asked } from "./period.js";
import { isOfRecord, shownRecord } from "./record.js";
import { session } from "./session.js";
import { onChange } from "./state.js";
import { tell } from "./toast.js";

const DEEPEST = 3;
const PLACES = 5;
const COMPARED = ["before", "year", "weekdays", "festival"];

let level = DEEPEST;
let waiting = null;

/** Keep change and rhythm those of period and category, for whom they are open. */
export function changes(city) {
  if (!session().layers.includes("risk")) return;
  const levels = city.levels?.map((one) => one.level) ?? [1];
  level = Math.min(DEEPEST, Math.max(...levels));
  $("#change").hidden = false;
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
    const [change, profile] = await Promise.all([
      get("/changes", { ...asked(), ...shownRecord(), level }, signal),
      get("/profiles", asked(), signal),
    ]);
    if (signal.aborted) return;
    const without = COMPARED.flatMap((name) => change[name]?.without ?? []);
    const late = caveat({ ...change, without: [...new Set(without)] });
    fill($("#change"), h("h2", {}, t("change.title")), late && h("p", { class: "quiet" }, late), compared(change), places(change), rhythm(profile));
  } catch (error) {
    if (error.status === 422) fill($("#change"), h("h2", {}, t("change.title")), h("p", { class: "quiet" }, error.message));
    tell(error);
  }
}

function compared({ now, before, year, weekdays, festival, celebrated, days_off: off }) {
  const rows = [
    ["before", before],
    ["year", year],
    ["weekdays", weekdays],
    ...(celebrated ? [["festival", festival]] : []),
  ].flatMap(([name, then]) => [
    h("dt", {}, t(`change.${name}`, { festival: celebrated && pick(celebrated.name_zh, celebrated.name_en) })),
    h("dd", { "data-name": name, "data-p": then?.p, "data-count": then?.count }, then ? [told(now, then), daysOff(off, then)] : t("change.unknown")),
  ]);
  return h("dl", {}, rows);
}

/** Said where holidays make two periods unlike. */
const daysOff = (off, { days_off: then }) =>
  off !== null && then !== null && off !== then && h("small", {}, t("change.off", { off, then }));

/** More, fewer or the same, with a percentage only where the service gives one. */
function told(now, { count, percent, told: way }) {
  const sign = percent > 0 ? "+" : "";
  const share = percent === null ? "" : t("change.percent", { percent: `${sign}${number(percent, 0)}` });
  return [
    h("strong", { class: `change ${way ?? "same"}` }, t(`change.${way ?? "untested"}`)),
    h("small", {}, t("change.line", { now, before: count }), share),
  ];
}

function places({ rows, before }) {
  if (!before) return null;
  const stand = rows.filter((row) => row.before_told === "more" || row.before_told === "fewer").sort((a, b) => a.before_q - b.before_q);
  if (!stand.length) return h("p", { class: "quiet" }, t("change.noplaces"));
  const items = stand.slice(0, PLACES).map((row) =>
    h(
      "li",
      { "data-code": row.code },
      h("span", {}, row.name),
      h("b", { class: `change ${row.before_told}` }, t(`change.${row.before_told}`)),
      h("small", {}, t("change.line", { now: row.now, before: row.before })),
    ),
  );
  return [h("h3", {}, t("change.places")), h("ol", { class: "places" }, items)];
}

function rhythm({ rows }) {
  return ["hour", "weekday"].map((kind) => {
    const slots = rows.filter((row) => row.kind === kind);
    const most = Math.max(...slots.map((row) => row.rate ?? 0), 1e-9);
    return [h("h3", {}, t(`profile.${kind}s`)), h("ol", { class: `bars ${kind}` }, slots.map((row) => bar(row, most)))];
  });
}

function bar({ kind, slot, count, rate, low, high }, most) {
  const name = kind === "hour" ? t("profile.hour", { hour: slot }) : t(`weekday.${slot}`);
  const words = { slot: name, rate: number(rate, 2), low: number(low, 2), high: number(high, 2) };
  const height = h("i", {});
  height.style.blockSize = `${(100 * (rate ?? 0)) / most}%`;
  const shown = kind === "weekday" || slot % 6 === 0 ? (kind === "hour" ? slot : name) : "";
  return h(
    "li",
    { title: t("profile.bar", words), "data-count": count, "data-slot": slot },
    height,
    h("small", { "aria-hidden": "true" }, shown),
    h("span", { class: "heard" }, t("profile.bar", words)),
  );
}
