/** What is known of the chosen hexagon: observed against expected in words, its rate, its risk. */

import { chance, compared, number } from "./analysis-words.js";
import { get } from "./api.js";
import { trend } from "./areas.js";
import { fill, h } from "./dom.js";
import { question, valuesOf } from "./hotspots.js";
import { t } from "./i18n.js";
import { mode } from "./modes.js";
import { session } from "./session.js";
import { tell } from "./toast.js";

const HORIZON = 7;
const RARE = 0.05;

/** The sections about the hexagon among what is drawn `under` a point; they fill themselves. */
export function hexagon(under, signal) {
  const drawn = under.filter((feature) => feature.layer.source === "hotspots");
  const cell = drawn.map((feature) => feature.properties.cell).find((name) => valuesOf(name));
  const finest = drawn.map((feature) => feature.properties.cell).sort().at(-1);
  return [
    cell && section("cell.title", (holder) => tellCell(holder, cell, signal)),
    finest && mode() === "risk" && section("mode.risk", (holder) => tellRisk(holder, finest, signal)),
  ];
}

function section(title, filling) {
  const holder = h("div", {});
  filling(holder).catch(tell);
  return h("section", { class: "block hexagon" }, h("h3", {}, t(title)), holder);
}

async function tellCell(holder, name, signal) {
  const values = valuesOf(name);
  if (values.p === null) {
    fill(
      holder,
      h("p", { class: "verdict" }, t("cell.untested")),
      table([["cell.count", values.count, number(values.count)]]),
    );
    return;
  }
  const query = { ...question(), cell: name, with: "shrunk", per: "household" };
  const whole = await get("/hotspots", query, signal);
  const [cell] = whole.cells;
  if (!cell) return;
  const stability = h("dd", { "data-name": "stability" }, "…");
  fill(holder, verdict(cell), words(cell, whole.judged), facts(cell, whole, stability));
  if (cell.significant) tellStability(stability, name, signal);
  else stability.replaceChildren("–");
}

function verdict({ significant }) {
  return h(
    "p",
    { class: significant ? "verdict hot" : "verdict" },
    t(significant ? "cell.significant" : "cell.quiet"),
  );
}

function words({ n, n_expected: expected, p, significant, alone }, judged) {
  const said = { n, expected: Number(expected.toFixed(1)), ratio: compared(n, expected), chance: chance(p) };
  const many = !significant && p < RARE && t("cell.many", { judged, rare: Math.round(judged * p) });
  return h("p", { class: "words" }, t(alone ? "cell.words.alone" : "cell.words", said), many);
}

function facts(cell, { per }, stability) {
  const unit = t(`unit.${per}`);
  const made = table([
    ["cell.count", cell.count, number(cell.count)],
    ["cell.expected", cell.expected, number(cell.expected, 2)],
    ["cell.ratio", cell.ratio, cell.ratio === null ? "∞" : number(cell.ratio, 2)],
    ["cell.p", cell.p, cell.p < 0.0001 ? "< 0.0001" : number(cell.p, 4)],
    ["cell.trend", cell.trend, trend(cell)],
    ["cell.rate", cell.rate_shrunk, number(cell.rate_shrunk, 2), { unit }],
    ["cell.interval", null, `${number(cell.rate_low, 2)}–${number(cell.rate_high, 2)}`],
    ["cell.raw", cell.rate, number(cell.rate, 2), { unit }],
    ["cell.served", cell.served, `${number(100 * cell.served)} %`],
  ]);
  made.append(h("dt", {}, t("cell.stability")), stability);
  return made;
}

/** Rows of [word, raw number, what is shown, what the word needs]; the raw number stays with what is shown. */
const table = (rows) =>
  h(
    "dl",
    {},
    rows.flatMap(([word, raw, shown, needs]) => [
      h("dt", {}, t(word, needs)),
      h("dd", { "data-name": word, "data-value": raw }, shown),
    ]),
  );

async function tellStability(holder, name, signal) {
  const query = { ...question(), cell: name, with: "stability" };
  const { cells } = await get("/hotspots", query, signal);
  const share = cells[0]?.stability ?? null;
  fill(holder, share === null ? "–" : t("cell.stability.of", { times: Math.round(5 * share) }));
}

async function tellRisk(holder, name, signal) {
  if (!session().layers.includes("risk")) return;
  const query = { ...question(), from: "", to: "", cell: name, horizon_days: HORIZON };
  const whole = await get("/risk", query, signal);
  const [cell] = whole.cells;
  if (!cell) return;
  fill(
    holder,
    table([
      ["risk.expected", cell.expected, number(cell.expected, 2)],
      ["risk.80", null, `${cell.low}–${cell.high}`],
      ["risk.95", null, `${cell.low95}–${cell.high95}`],
      ["risk.baseline", cell.baseline, number(cell.baseline, 2)],
      ["risk.rank", cell.rank, `${number(cell.rank)}（${number(cell.baseline_rank)}）`],
      ["risk.all", cell.with_all, number(cell.with_all, 2)],
    ]),
    h("p", { class: "quiet" }, t("risk.person")),
  );
}
