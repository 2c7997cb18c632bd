/** Starts the page: asks the service what the city is, then wires the parts together. */

import { get } from "./api.js";
import { changes } from "./analysis-change.js";
import { emerging } from "./analysis-emerging.js";
import { repeats } from "./analysis-repeats.js";
import { risk } from "./analysis-risk.js";
import { categories } from "./categories.js";
import { details } from "./details.js";
import { $ } from "./dom.js";
import { hotspots } from "./hotspots.js";
import { pick, speak, t, translate } from "./i18n.js";
import { layerSwitches } from "./layers.js";
import { legend } from "./legend.js";
import { live } from "./live.js";
import { isDrawn, openMap } from "./map.js";
import { showModes } from "./modes.js";
import { loaded, offerLanguages, stopped } from "./opening.js";
import { period } from "./period.js";
import { records, shownRecord } from "./record.js";
import { search } from "./search.js";
import { openSession } from "./session.js";
import { situation } from "./situation.js";
import { change, onChange, read, state } from "./state.js";
import { tell, toast } from "./toast.js";

async function start() {
  read();
  dress();
  // Before all others, which then speak the language that is new.
  onChange((changed) => (changed.has("lang") || changed.has("theme")) && dress());
  await openSession();
  const [city, tree, catalogue] = await Promise.all([
    get("/city", { scheme: state.scheme }),
    get("/categories"),
    get("/layers", shownRecord()),
  ]);
  offerLanguages(city);
  nameCity(city);
  period(city);
  categories(tree);
  records(city);
  const map = await openMap(city);
  layerSwitches(catalogue.filter(({ name }) => isDrawn(name)));
  details(map);
  search(map, city);
  hotspots(map);
  emerging(map);
  risk(map);
  showModes(map);
  situation(city);
  changes(city);
  repeats();
  legend(map);
  live(map);
  shell(city);
  loaded();
}

/** Put language and colours on the page. */
function dress() {
  speak(state.lang);
  translate();
  document.documentElement.dataset.theme = state.theme;
  $("#theme").value = state.theme;
}

function nameCity(city) {
  $("#city").textContent = pick(city.name_zh, city.name_en);
  $("#synthetic").hidden = !city.synthetic;
  document.title = `${t("app.title")} · ${pick(city.name_zh, city.name_en)}`;
}

function shell(city) {
  $("#theme").addEventListener("change", (event) => change({ theme: event.target.value }));
  $("#menu").addEventListener("click", () => showPanel(!document.body.classList.contains("with-panel")));
  if (matchMedia("(max-width: 48rem)").matches) $("#legend").open = false;
  onChange((changed) => {
    if (changed.has("lang")) nameCity(city);
    if (changed.has("at") && state.at) showPanel(false);
  });
}

/** On a phone the panel covers the map, so it opens and closes. */
function showPanel(open) {
  document.body.classList.toggle("with-panel", open);
  $("#menu").setAttribute("aria-expanded", String(open));
}

addEventListener("unhandledrejection", (event) => tell(event.reason));
addEventListener("error", (event) => toast(t("error.bug", { reason: event.message })));
start().catch(stopped);
