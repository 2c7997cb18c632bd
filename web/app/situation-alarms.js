/** Alarms of the weekly surveillance on the board: listed, acknowledged, silenced, judged on demand. */

import { number } from "./analysis-words.js";
import { get, send } from "./api.js";
import { categoryName } from "./categories.js";
import { h } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { t } from "./i18n.js";
import { session } from "./session.js";
import { tell, toast } from "./toast.js";

const MOST = 50;
const SILENT_DAYS = 28;
const DAY = 86_400_000;

/** The nodes of the alarms that were kept. */
export async function alarms({ draw }) {
  const found = await get("/alarms", { limit: MOST });
  const judge = h("button", { type: "button", class: "button", onclick: () => act("/alarms", {}, draw, judged) }, t("alarms.judge"));
  const words = { shown: found.alarms.length, total: found.total };
  return [
    h("p", { class: "choice" }, !session().scope && judge, t(found.total ? "alarms.total" : "alarms.none", words)),
    h("ol", { class: "places" }, found.alarms.map((alarm) => one(alarm, draw))),
    h("p", { class: "quiet" }, t("alarms.method")),
  ];
}

const judged = ({ series, weeks, raised }) => t("alarms.judged", { series, weeks, raised });

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
