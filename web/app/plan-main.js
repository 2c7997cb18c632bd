/** Starts the planner's page: who asks, which plans there are, and the parts of the page that show one. */

import { get } from "./api.js";
import { $ } from "./dom.js";
import { pick, speak, t, translate } from "./i18n.js";
import { loaded, offerLanguages, stopped } from "./opening.js";
import { findings } from "./plan-findings.js";
import { followPlans } from "./plan-live.js";
import { openPlanMap, overview, redrawn } from "./plan-map.js";
import { showPanel } from "./plan-panel.js";
import { load, onOpen, open } from "./plan-store.js";
import { grids } from "./plan-table.js";
import { inTurn, tools } from "./plan-tools.js";
import { openSession } from "./session.js";
import { change, onChange, read, state } from "./state.js";
import { tell, toast } from "./toast.js";

async function start() {
  const placed = isPlaced();
  read();
  dress();
  onChange((changed) => (changed.has("lang") || changed.has("theme")) && dress());
  await openSession();
  const city = await get("/city");
  name(city);
  offerLanguages(city);
  await openPlanMap(city);
  tools();
  findings();
  grids();
  await showPanel(city);
  loaded();
  onOpen((what) => what.has("plan") && remember());
  onChange((changed) => changed.has("lang") && name(city));
  $("#theme").addEventListener("change", (event) => change({ theme: event.target.value }));
  if (matchMedia("(max-width: 48rem)").matches) $("#key").open = false;
  addEventListener("hashchange", () => goTo(asked()));
  followPlans();
  if (!asked()) return;
  await load(asked());
  if (!placed) overview();
  note({ placed: true });
}

/** Whether the place of the map is what its reader chose; the map notes in the address where it began, too,
    so that a sign-in, which begins the page anew, would not look at the plan. */
function isPlaced() {
  const placed = history.state?.placed ?? location.hash.includes("map=");
  note({ placed });
  return placed;
}

const note = (more) => history.replaceState({ ...history.state, ...more }, "");

/** Open the plan that the address names now: by its turn, what was under way may have written another there. */
function goTo(id) {
  if (id && id !== open.plan?.id) inTurn(() => load(id)).then(overview);
}

/** The plan that the address names, 0 for none. */
const asked = () => Number(new URLSearchParams(location.hash.slice(1)).get("plan"));

function dress() {
  speak(state.lang);
  translate();
  document.documentElement.dataset.theme = state.theme;
  $("#theme").value = state.theme;
}

function name(city) {
  $("#city").textContent = pick(city.name_zh, city.name_en);
  $("#synthetic").hidden = !city.synthetic;
  document.title = `${t("plan.page")} · ${pick(city.name_zh, city.name_en)}`;
}

let published = null;

/** Keep the open plan in the address, so that it can be shared; after a publication the city is drawn anew. */
function remember() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (open.plan) hash.set("plan", open.plan.id);
  else hash.delete("plan");
  history.replaceState(history.state, "", `#${decodeURIComponent(hash.toString())}`);
  if (open.plan?.revision && published !== open.plan.revision) redrawn();
  published = open.plan?.revision ?? null;
}

addEventListener("unhandledrejection", (event) => tell(event.reason));
addEventListener("error", (event) => toast(t("error.bug", { reason: event.message })));
start().catch(stopped);
