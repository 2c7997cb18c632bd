/** Risk on the hexagons: what to expect next week, by which model, and how well that has worked. */

import { number, silence } from "./analysis-words.js";
import { get } from "./api.js";
import { lay, nameOf, rankIn, resolution } from "./cells.js";
import { h, swatch } from "./dom.js";
import { t } from "./i18n.js";
import { styleLegend } from "./map.js";
import { offer } from "./modes.js";
import { asked } from "./period.js";

const HORIZON = 7;
const RANKS = 5;

let known = { for: "", answer: null };

/** Offer the risk of the coming days. */
export function risk(map) {
  offer("risk", async (signal) => {
    const query = { category: asked().category, res: resolution(map), horizon_days: HORIZON };
    const wanted = JSON.stringify(query);
    if (known.for !== wanted) known = { for: wanted, answer: await get("/risk/values", query, signal) };
    const { answer } = known;
    const limits = doubling(answer.expected);
    const none = answer.ended !== null || answer.trained_on === 0;
    const looks = answer.id.map((id, place) => [
      nameOf(id),
      { shown: !none && answer.expected[place] >= limits[0], rank: rankIn(limits, answer.expected[place]) },
    ]);
    lay(map, looks);
    return none ? [summary(answer)] : [summary(answer), legend(limits)];
  });
}

/** Limits of the ranks, each twice the one before, the last half of the most; below the first nothing is shown. */
function doubling(expected) {
  const most = expected.reduce((highest, value) => Math.max(highest, value), 0);
  return Array.from({ length: RANKS }, (_, rank) => Number((most / 2 ** (RANKS - rank)).toPrecision(2)));
}

function summary(answer) {
  const words = {
    start: answer.start,
    days: answer.horizon_days,
    total: Number(answer.expected_total.toFixed(0)),
    low: answer.total_low95,
    high: answer.total_high95,
  };
  const { live, days, origins, measures, area_km2: area, of } = answer.skill;
  const [top] = measures;
  const skill =
    live["0.01"] === null
      ? t("risk.noskill")
      : t(top.pai_low === null ? "risk.skill.few" : "risk.skill", {
          days,
          origins,
          area: number(area, 0),
          of: of === "hexagons" ? t("risk.hexagons") : "",
          live: number(top.pai, 1),
          low: number(top.pai_low, 1),
          high: number(top.pai_high, 1),
          best: Math.round(100 * top.pei),
        });
  const left = { count: answer.left_out, total: Number(answer.with_all_total.toFixed(0)) };
  const lines = [
    t("risk.summary", words),
    t("risk.model", { model: modelName(answer.model) }),
    skill,
    answer.began !== null && t("risk.began", { day: answer.began }),
    ...answer.paused.map((pause) => t("risk.paused", pause)),
    silence("risk.silent", answer.silent),
    answer.ended !== null && t("risk.ended", { day: answer.ended, high: answer.total_high95 }),
    answer.trained_on === 0 && t("risk.quiet", { high: answer.total_high95 }),
    answer.left_out > 0 && t("risk.leftout", left),
    t("risk.person"),
  ];
  return h(
    "p",
    { class: "summary", "data-model": answer.model, "data-total": answer.expected_total },
    lines.filter(Boolean).map((line) => h("span", {}, line)),
  );
}

/** A model's name in the language, its own where we know none. */
function modelName(model) {
  const said = t(`model.${model}`);
  return said.startsWith("model.") ? model : said;
}

function legend(limits) {
  const items = styleLegend().find(({ layer }) => layer === "hotspots")?.items ?? [];
  const quiet = items.filter((item) => !item.significant).slice(0, limits.length);
  const keys = quiet.map((item, rank) => h("li", {}, swatch(item), h("span", {}, `≥${number(limits[rank], 2)}`)));
  return h("div", { class: "ramp" }, h("ul", {}, keys), h("small", {}, t("risk.scale")));
}
