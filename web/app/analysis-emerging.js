/** How places became hot or cold: one colour per class, with a legend that counts them. */

import { get } from "./api.js";
import { lay, nameOf, resolution } from "./cells.js";
import { h, swatch } from "./dom.js";
import { t } from "./i18n.js";
import { offer } from "./modes.js";
import { asked, stepDays } from "./period.js";

const STEPS = 12;

/** Class by class: the colour of a hot and of a cold place. */
const COLOURS = {
  new: ["#ffb000", "#56c5ff"],
  consecutive: ["#ff7f2a", "#2f9bea"],
  intensifying: ["#a50f15", "#08306b"],
  persistent: ["#de2d26", "#2171b5"],
  diminishing: ["#fc9272", "#9ecae1"],
  sporadic: ["#fdd0a2", "#c6dbef"],
  oscillating: ["#c51b8a", "#7a6fd0"],
  historical: ["#8d6e63", "#78909c"],
};

let known = { for: "", answer: null };

/** Offer the classes of the steps before the period's end. */
export function emerging(map) {
  offer("emerging", async (signal) => {
    const query = {
      to: asked().to,
      category: asked().category,
      res: resolution(map),
      steps: STEPS,
      step_days: stepDays(STEPS),
    };
    const wanted = JSON.stringify(query);
    if (known.for !== wanted) known = { for: wanted, answer: await get("/emerging", query, signal) };
    const { answer } = known;
    lay(
      map,
      answer.cells.map((cell) => [nameOf(cell.id), { shown: true, colour: colour(cell.class, cell.side) }]),
    );
    return [summary(answer), legend(answer)];
  });
}

const colour = (kind, side) => COLOURS[kind][side === "hot" ? 0 : 1];

function summary({ steps, asked: wished, step_days: days, judged, cells, basis }) {
  const words = { steps, days, judged, found: cells.length };
  return h(
    "p",
    { class: "summary" },
    h("span", {}, t("emerging.summary", words)),
    steps < wished && h("span", {}, t("emerging.left", { left: wished - steps })),
    h("span", {}, t(`emerging.basis.${basis}`)),
  );
}

function legend({ classes }) {
  const rows = Object.keys(COLOURS).flatMap((kind) => ["hot", "cold"].map((side) => [kind, side]));
  const there = rows.filter(([kind, side]) => classes[`${kind} ${side}`]);
  const keys = there.map(([kind, side]) => {
    const sign = swatch({ shape: "hex", fill: colour(kind, side) });
    const name = `${t(`emerging.${kind}`)} · ${t(`emerging.${side}`)}`;
    return h("li", { "data-class": `${kind} ${side}` }, sign, name, h("b", {}, classes[`${kind} ${side}`]));
  });
  return h("ul", { class: "keys" }, keys);
}
