/** Two drafts side by side: another plan of the same scope on a second map that moves with the first, and figures. */

import { number } from "./analysis-words.js";
import { get } from "./api.js";
import { $, fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { closeOther, drawOther } from "./plan-other.js";
import { countChanged, onOpen, open, plans } from "./plan-store.js";
import { doing } from "./plan-tools.js";

const NONE = "";

let other = null;

/** The choice of another draft of this scope, and what both come to. */
export function comparison() {
  const choice = h("select", { id: "compare", "aria-label": t("compare.with"), onchange: ({ target }) => doing(compare, target.value) }, h("option", { value: NONE }, t("compare.none")));
  offer(choice);
  return h("details", { class: "block", id: "comparing", open: other !== null }, h("summary", {}, t("compare.title")), choice, h("div", { id: "compared" }, other && figures()));
}

async function offer(choice) {
  const { id, scope } = open.plan;
  const found = (await plans()).plans.filter((plan) => plan.scope === scope && plan.id !== id);
  choice.append(...found.map((plan) => h("option", { value: plan.id }, `${plan.title} · ${t(`state.${plan.state}`)}`)));
  choice.value = other?.plan.id ?? NONE;
}

/** Put another plan beside the open one; an empty id takes it away. */
async function compare(id) {
  other = id === NONE ? null : await told(id);
  if (other) await drawOther(other.grids.features);
  else closeOther();
  fill($("#compared"), other ? figures() : []);
}

async function told(id) {
  const path = (rest) => `/plans/${id}${rest}`;
  const [plan, grids, faults, impact, table] = [await get(path("")), await get(path("/grids")), await get(path("/faults")),
    await get(path("/impact"), { limit: 1 }), await get(path("/table"), open.range)];
  return { plan, grids, faults, impact, table };
}

onOpen((what) => {
  if (!other || !what.has("plan") && !what.has("table")) return;
  // Another plan was opened, or none: what stood beside it goes.
  if (open.plan?.scope !== other.plan.scope || open.plan.id === other.plan.id) {
    other = null;
    closeOther();
  } else if ($("#compared")) fill($("#compared"), figures());
});

function figures() {
  const here = { changed: countChanged(), faults: open.faults, impact: open.impact, table: open.table };
  const differing = other.grids.features.filter(({ properties }) => ["new", "changed"].includes(properties.change)).length;
  const there = { ...other, changed: differing + other.grids.gone.length };
  const rows = [
    ["changed", ({ changed }) => changed],
    ["errors", ({ faults }) => faults?.new_errors],
    ["households", ({ impact }) => impact?.counts.households],
    ["out", ({ table }) => table?.rows.filter(({ off }) => off !== 0).length],
  ];
  const head = h("tr", {}, h("th", {}), h("th", { scope: "col" }, open.plan.title), h("th", { scope: "col" }, other.plan.title));
  const line = ([name, value]) => h("tr", { "data-figure": name }, h("th", { scope: "row" }, t(`compare.${name}`)), [here, there].map((side) => h("td", {}, number(value(side)))));
  return h("table", {}, h("thead", {}, head), h("tbody", {}, rows.map(line)));
}
