/** The answer about the chosen point: whose it is, what lies there, who is near. */

import { hexagon } from "./analysis-cell.js";
import { get } from "./api.js";
import { categoryName } from "./categories.js";
import { $, fill, h, icon } from "./dom.js";
import { onValues } from "./hotspots.js";
import { distance, field, locale, pick, t, word, wordOf } from "./i18n.js";
import { chosen, chosenCode, chosenName, drawnAt, goTo, outline, reveal } from "./map.js";
import { isOfRecord, shownRecord } from "./record.js";
import { seesAll, session, signIn } from "./session.js";
import { change, onChange, state } from "./state.js";
import { tell, toast } from "./toast.js";

const TOLD = ["responders", "incidents", "cameras", "places", "buildings", "roads"];
const MOST = 6;
const NEAREST = 5;

let map = null;
let waiting = null;
let ofHexagon = null;

/** Answer for the chosen point whenever it changes. */
export function details(drawn) {
  map = drawn;
  onChange((changed) => (changed.has("at") || changed.has("lang") || isOfRecord(changed)) && answer());
  addEventListener("keydown", (event) => event.key === "Escape" && close());
  onValues(() => whenDrawn(tellHexagon)); // they may come after the answer, and are others in another period
  if (state.at) whenDrawn(answer);
}

const whenDrawn = (then) => (map ? map.once("idle", then) : then());
const close = () => change({ at: "" });

async function answer() {
  waiting?.abort();
  const place = chosen();
  if (!place) return hide();
  waiting = new AbortController();
  const { signal } = waiting;
  const here = { lon: place.lng, lat: place.lat };
  const under = drawnAt(place);
  const [chain, near] = await Promise.allSettled([
    get("/grids/at", { ...here, ...shownRecord() }, signal),
    session().layers.includes("responders")
      ? get("/responders/nearest", { ...here, k: NEAREST, by: "line", status: "available" }, signal)
      : null,
  ]);
  if (signal.aborted) return;
  show(place, under, chain, near);
}

function hide() {
  $("#details").hidden = true;
  document.body.classList.remove("with-details");
  outline([]);
}

function show(place, under, chain, near) {
  ofHexagon = h("div", {}, hexagon(under, waiting.signal));
  fill($("#details"), head(place), owner(chain), ofHexagon, features(under), responders(near));
  $("#details").hidden = false;
  document.body.classList.add("with-details");
  $("#details").scrollTop = 0;
  $("#details").focus({ preventScroll: true });
  reveal(place, $("#details"));
}

/** Tell of the hexagon anew, of the values that it has by now. */
function tellHexagon() {
  const place = chosen();
  if (place && ofHexagon && !waiting.signal.aborted) fill(ofHexagon, hexagon(drawnAt(place), waiting.signal));
}

function head({ lng, lat }) {
  const text = `${lng.toFixed(6)}, ${lat.toFixed(6)}`;
  const copy = h(
    "button",
    {
      type: "button",
      class: "plain",
      title: t("details.copy"),
      "aria-label": t("details.copy"),
      onclick: () => copied(text),
    },
    icon("copy"),
  );
  const shut = h(
    "button",
    {
      type: "button",
      class: "plain",
      title: t("details.close"),
      "aria-label": t("details.close"),
      onclick: close,
    },
    icon("close"),
  );
  return h(
    "header",
    {},
    h(
      "div",
      {},
      h("h2", {}, chosenName() || t("details.title")),
      h("p", { class: "point", title: t("details.wgs84") }, text, copy),
    ),
    shut,
  );
}

async function copied(text) {
  await navigator.clipboard.writeText(text);
  toast(t("details.copied", { text }), "note");
}

const block = (title, ...content) => h("section", { class: "block" }, h("h3", {}, title), ...content);

function owner({ value, reason }) {
  if (reason) {
    outline([]);
    if (reason.status !== 404) tell(reason);
    return block(
      t("chain.title"),
      h("p", { class: "quiet" }, reason.status === 404 ? t("chain.none") : reason.message),
    );
  }
  const chain = fromGrid(value.chain, chosenCode());
  outline(chain.map((grid) => grid.code));
  const border = value.on_boundary && h("p", { class: "note" }, t("chain.boundary"));
  const basis = h(
    "p",
    { class: "quiet" },
    t("chain.revision", { revision: String(value.revision), on: value.on }),
  );
  return block(t("chain.title"), border, h("ol", { class: "chain" }, chain.map(link)), basis);
}

/** A chain from a grid that was looked for upwards: those below it own its middle alone. */
const fromGrid = (chain, code) => chain.slice(Math.max(0, chain.findIndex((grid) => grid.code === code)));

function link(grid) {
  const level = h("span", { class: "level" }, pick(grid.level_name, grid.level_name_en));
  const title = h("span", { class: "grid" }, h("strong", {}, grid.name), h("code", {}, grid.code));
  const people = grid.staff.length ? grid.staff : [grid.contact].filter(Boolean);
  const staff = people.length
    ? people.map(person)
    : [h("li", { class: "quiet" }, t(seesAll() ? "chain.nostaff" : "chain.hidden"))];
  return h("li", { "data-level": grid.level }, level, title, h("ul", { class: "staff" }, staff));
}

function person({ name, post, phone }) {
  const call = phone && h("a", { href: `tel:${phone}` }, icon("phone"), phone);
  return h("li", {}, name && h("span", {}, name), post && h("span", { class: "quiet" }, post), call);
}

const table = (rows) =>
  h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]).flat());

function features(under) {
  const seen = new Set();
  const told = under.filter(({ source, id, properties }) => {
    // A street is many pieces: told once, by its name.
    const which = `${source}/${source === "roads" ? properties.name : id}`;
    const fresh = TOLD.includes(source) && !seen.has(which);
    seen.add(which);
    return fresh;
  });
  told.sort((a, b) => TOLD.indexOf(a.source) - TOLD.indexOf(b.source));
  return told.length ? block(t("under.title"), told.slice(0, MOST).map(card)) : null;
}

function card({ source, properties }) {
  const rows = Object.entries(properties)
    .filter(([name, value]) => field(name) && value !== "" && value !== null)
    .map(([name, value]) => [field(name), valueText(name, value)]);
  return h("div", { class: `card ${source}` }, table(rows));
}

function valueText(name, value) {
  if (name === "category") return categoryName(value);
  if (name === "occurred_at") return new Date(value).toLocaleString(locale());
  return wordOf(name, value);
}

function responders({ value, reason }) {
  if (value === null)
    return block(
      t("nearest.title"),
      h("button", { type: "button", class: "link", onclick: () => signIn() }, t("session.needed")),
    );
  if (reason) tell(reason);
  const rows = value?.responders ?? [];
  const empty = rows.length === 0 && h("p", { class: "quiet" }, reason?.message ?? t("nearest.none"));
  return block(
    `${t("nearest.title")} · ${t("nearest.line")}`,
    h("ol", { class: "near" }, rows.map(responder)),
    empty,
  );
}

function responder({ name, kind, status, distance_m: metres, geometry }) {
  const [lng, lat] = geometry.coordinates;
  const dot = h("i", { class: `status ${status}`, title: word(status) });
  const button = h(
    "button",
    { type: "button", onclick: () => goTo({ lng, lat }) },
    dot,
    h("span", {}, name, h("small", {}, wordOf("kind", kind))),
    h("b", {}, distance(metres)),
  );
  return h("li", {}, button);
}
