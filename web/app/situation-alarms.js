/** Alarms of the weekly surveillance on the board: listed, acknowledged, silenced, judged on demand. */

import { cellToLatLng } from "/vendor/h3-js/h3-js.es.js";
import { number } from "./analysis-words.js";
import { get, send } from "./api.js";
import { name } from "./areas.js";
import { categoryName } from "./categories.js";
import { h } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { t } from "./i18n.js";
import { asked } from "./period.js";
import { session } from "./session.js";
import { tell, toast } from "./toast.js";

const MOST = 50;
const SILENT_DAYS = 28;
const DAY = 86_400_000;

/** The nodes of the alarms that were kept. */
export async function alarms({ draw }) {
  const [found, { clusters, study_days: days }] = await Promise.all([get("/alarms", { limit: MOST }), gathered()]);
  const judge = h("button", { type: "button", class: "button", onclick: () => act("/alarms", {}, draw, judged) }, t("alarms.judge"));
  const words = { shown: found.alarms.length, total: found.total };
  return [
    h("p", { class: "choice" }, !session().scope && judge, t(found.total ? "alarms.total" : "alarms.none", words)),
    h("ol", { class: "places" }, found.alarms.map((alarm) => one(alarm, draw))),
    h("p", { class: "quiet" }, t("alarms.method")),
    h("h3", {}, t("gathering.title")),
    clusters.length === 0 && h("p", { class: "quiet" }, t(days ? "gathering.none" : "gathering.short")),
    h("ol", { class: "places" }, clusters.map(gathering)),
    days > 0 && h("p", { class: "quiet" }, t("gathering.method", { days })),
  ];
}

/** Where incidents gather before the period's end; nothing where the record is too short to say. */
async function gathered() {
  const { to, category } = asked();
  try {
    return await get("/alarms/clusters", { to, category });
  } catch (error) {
    if (error.status !== 422) throw error;
    return { clusters: [], study_days: 0 };
  }
}

function gathering({ centre, members, days, observed, expected, ratio, p, recurrence_days: rare }) {
  const words = { cells: members.length, days, observed, expected: number(expected, 1), rare: number(rare) };
  const [lat, lng] = cellToLatLng(centre);
  const place = h("strong", {}, `${lng.toFixed(4)}, ${lat.toFixed(4)}`);
  const within = h("span", {});
  name(place, within, lng, lat);
  return h(
    "li",
    { "data-centre": centre, "data-observed": observed, "data-p": p },
    h("span", {}, place, " ", within),
    h("b", {}, `×${number(ratio, 1)}`),
    h("small", {}, t("gathering.line", words)),
  );
}

/** What a judgement did, and which categories have been in use too short to be judged. */
function judged({ series, weeks, raised, began }) {
  const fresh = began.filter((one) => !one.tested);
  const untested = fresh.map(({ category, since }) => t("alarms.untested", { category: categoryName(category), since }));
  return [t("alarms.judged", { series, weeks, raised }), ...untested].join(" ");
}

function one(alarm, draw) {
  const { id, grid, category, count, expected, since, until, recurrence_weeks: weeks, recurrence_sure: sure } = alarm;
  const kind = category ? categoryName(category) : t("category.all");
  const words = { count, expected: number(expected, 1), since: since.slice(0, 10), until: until.slice(0, 10) };
  const rare = t(sure ? "alarms.rare" : "alarms.rare.unsure", { weeks: number(weeks) });
  return h(
    "li",
    { "data-alarm": id, "data-grid": grid, "data-category": category, "data-count": count, "data-answered": alarm.acknowledged_at ? "yes" : "no" },
    h("button", { type: "button", class: "link", onclick: () => visitGrid(grid) }, grid, " · ", kind),
    h("b", {}, t(alarm.acknowledged_at ? "alarms.seen" : "alarms.waits", { by: alarm.acknowledged_by })),
    h("small", {}, t("alarms.line", words), " · ", rare),
    h("span", { class: "choice" }, acts(alarm, draw)),
  );
}

function acts({ id, acknowledged_at: seen, silenced_until: silent }, draw) {
  const until = new Date(Date.now() + SILENT_DAYS * DAY).toISOString();
  const quiet = silent && Date.parse(silent) > Date.now();
  return [
    !seen && button("acknowledge", () => act(`/alarms/${id}/acknowledge`, undefined, draw)),
    quiet
      ? t("alarms.silent", { until: silent.slice(0, 10) })
      : button("silence", () => act(`/alarms/${id}/silence`, { until }, draw)),
  ];
}

const button = (name, onclick) => h("button", { type: "button", class: "button", "data-act": name, onclick }, t(`alarms.${name}`, { days: SILENT_DAYS }));

async function act(path, body, draw, said = () => t("alarms.done")) {
  try {
    toast(said(await send("POST", path, body, session().csrf)));
    draw();
  } catch (error) {
    tell(error);
  }
}
