/** The plan that is open: its grids, faults and impact as the service tells them, and every way to change it. */

import { Refused, get, send } from "./api.js";
import { session } from "./session.js";
import { tell } from "./toast.js";

const listeners = [];

/** `grids` by code; `level` is the one worked on; `picked` are codes in the order of picking. */
export const open = { plan: null, grids: new Map(), base: null, faults: null, impact: null, moved: null,
  steps: [], conflicts: [], level: null, picked: [] };

/** Call `listen(what)` whenever a part changes: plan, grids, faults, impact, picked, level. */
export const onOpen = (listen) => listeners.push(listen);

const say = (...what) => listeners.forEach((listen) => listen(new Set(what)));

const path = (rest = "") => `/plans/${open.plan.id}${rest}`;
const post = (rest, body) => send("POST", path(rest), body, session().csrf);

export const plans = () => get("/plans", { limit: 100 });

export async function create(body) {
  const made = await send("POST", "/plans", body, session().csrf);
  return load(made.id);
}

/** Open a plan and all it has; the finest level is worked on first. */
export async function load(id) {
  open.plan = await get(`/plans/${id}`);
  Object.assign(open, { picked: [], faults: null, impact: null, moved: null, conflicts: [], level: null });
  await refetch();
  say("plan", "grids", "level", "picked", "faults", "impact");
  weigh().catch(tell);
  return open.plan;
}

export function leave() {
  Object.assign(open, { plan: null, grids: new Map(), base: null, faults: null, impact: null, moved: null,
    steps: [], conflicts: [], picked: [] });
  say("plan", "grids", "picked", "faults", "impact");
}

async function refetch() {
  const [grids, base, steps] = await Promise.all([
    get(path("/grids")), get(path("/grids"), { at: 0 }), get(path("/steps"), { limit: 200 }),
  ]);
  open.grids = new Map(grids.features.map((grid) => [grid.properties.code, grid]));
  open.base = base;
  open.steps = steps.steps;
  const levels = [...open.grids.values()].map((grid) => grid.properties.level);
  open.level ??= Math.max(...levels);
}

/** Take one step of redrawing; gives the service's answer. */
export const take = async (step) => follow(await post("/steps", { ...step, head: open.plan.head }));
export const drawNew = async (wanted) => follow(await post("/draw", wanted));
export const undo = async () => follow(await post("/undo"));
export const redo = async (step) => follow(await post("/redo", step && { step }));

/** Put what a step changed in its place; faults and impact of the whole follow. */
async function follow(answer) {
  open.plan = answer.plan;
  for (const code of answer.gone) open.grids.delete(code);
  for (const grid of answer.grids.features) {
    const { code, change, base_changed: differs } = grid.properties;
    grid.properties.change = differs === false ? null : change;
    open.grids.set(code, grid);
  }
  open.picked = open.picked.filter((code) => open.grids.has(code));
  open.steps = (await get(path("/steps"), { limit: 200 })).steps;
  say("plan", "grids", "picked");
  weigh().catch(tell);
  return answer;
}

/** Ask what is wrong and what would change owner. */
async function weigh() {
  const { id, head } = open.plan;
  const [faults, impact, moved] = await Promise.all([
    get(path("/faults")), get(path("/impact"), { limit: 100 }), get(path("/impact"), { format: "geojson", limit: 1000 }),
  ]);
  if (open.plan?.id !== id || open.plan.head !== head) return;
  Object.assign(open, { faults, impact, moved });
  say("faults", "impact");
}

/** Submit, withdraw, approve, reject, reopen or publish; what stands in the way of publishing is kept. */
export async function act(what, body) {
  try {
    const answer = await post(`/${what}`, body);
    open.conflicts = [];
    await load((answer.plan ?? answer).id);
    return answer;
  } catch (error) {
    if (what === "publish" && error.status === 409) await askConflicts();
    throw error;
  }
}

async function askConflicts() {
  open.conflicts = (await get(path("/conflicts"))).conflicts;
  say("plan");
}

export async function resolve(code, choice) {
  const { plan, conflicts } = await post("/resolve", { code, take: choice });
  open.plan = plan;
  open.conflicts = conflicts;
  await refetch();
  say("plan", "grids");
}

/** Bring in a file drawn elsewhere as a step; where it has errors they are shown in place of the draft's. */
export async function bring(file) {
  const headers = { Accept: "application/json", "X-CSRF-Token": session().csrf ?? "" };
  const answer = await fetch(`${path("/import")}?name=${encodeURIComponent(file.name)}`, { method: "POST", headers, body: file });
  const told = await answer.json();
  if (answer.ok) return follow(told);
  if (!told.faults) throw new Refused(told.detail, answer.status);
  const { length } = told.faults.features;
  open.faults = { ...told.faults, errors: length, advice: 0, new_errors: length };
  say("faults");
  return told;
}

/** Let the service suggest steps that even the grids out. */
export async function suggest(body) {
  const answer = await post("/suggest", body);
  await load(open.plan.id);
  return answer;
}

/** Pick a grid, or put it back. */
export function pick(code) {
  const at = open.picked.indexOf(code);
  open.picked = at < 0 ? [...open.picked, code] : open.picked.filter((one) => one !== code);
  say("picked");
}

export function pickOnly(codes) {
  open.picked = codes.filter((code) => open.grids.has(code));
  say("picked");
}

export function workOn(level) {
  open.level = level;
  open.picked = [];
  say("level", "picked");
}

/** What a grid is called: its name, with the end of its code where another bears the same one; else its code. */
export function nameOf(code) {
  const name = open.grids.get(code)?.properties.name;
  return name ? (namesakes().get(name) > 1 ? `${name}…${code.slice(-3)}` : name) : code;
}

let counted = { of: null, names: new Map() };

function namesakes() {
  if (counted.of !== open.steps) {
    const names = new Map();
    for (const { properties } of open.grids.values()) names.set(properties.name, (names.get(properties.name) ?? 0) + 1);
    counted = { of: open.steps, names };
  }
  return counted.names;
}
