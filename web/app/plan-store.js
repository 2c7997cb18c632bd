/** The plan that is open: its grids, faults and impact as the service tells them, and every way to change it. */

import { Refused, get, refusal, send } from "./api.js";
import { t } from "./i18n.js";
import { session } from "./session.js";
import { tell } from "./toast.js";

const listeners = [];

/** `grids` by code; `level` is the one worked on; `picked` are codes in the order of picking. `followed` counts how
    often what is shown was replaced by what the service has, rather than moved by a step of this page. `against` is
    the revision whose versions the conflicts show. */
export const open = { plan: null, levels: [], grids: new Map(), base: null, faults: null, impact: null, moved: null,
  steps: [], conflicts: [], level: null, picked: [], gone: [], table: null, reasons: new Map(), halves: [], locked: new Set(), proposals: null,
  range: { low: 300, high: 500 }, across: false, followed: 0 };

/** Call `listen(what)` whenever a part changes: plan, grids, faults, impact, table, locked, picked, level. */
export const onOpen = (listen) => listeners.push(listen);

const say = (...what) => listeners.forEach((listen) => listen(new Set(what)));

const path = (rest = "") => `/plans/${open.plan.id}${rest}`;
const post = (rest, body) => send("POST", path(rest), body, session().csrf);

export const plans = () => get("/plans", { limit: 100 });

export async function create(body) {
  const made = await send("POST", "/plans", body, session().csrf);
  return load(made.id);
}

/** Open a plan and all it has; the finest level is worked on first. Until all of it is there the page shows what it
    did, and stands where that does: what is pressed meanwhile is about what is seen. */
export async function load(id) {
  const plan = await get(`/plans/${id}`);
  const [{ levels }, parts] = await Promise.all([get("/city", { scheme: plan.scheme }), fetched(id)]);
  Object.assign(open, { plan, levels, picked: [], faults: null, impact: null, moved: null, conflicts: [], level: null,
    table: null, reasons: new Map(), halves: [], locked: new Set(recallLocks(id)), proposals: null });
  put(parts);
  say("plan", "grids", "level", "picked", "faults", "impact", "table", "locked");
  weighSoon();
  return open.plan;
}

export function leave() {
  Object.assign(open, { plan: null, grids: new Map(), base: null, faults: null, impact: null, moved: null,
    steps: [], conflicts: [], picked: [], gone: [], table: null, locked: new Set(), proposals: null });
  say("plan", "grids", "picked", "faults", "impact", "table");
}

/** The grids of a plan, those that it began with, and its steps. */
const fetched = (id) =>
  Promise.all([get(`/plans/${id}/grids`), get(`/plans/${id}/grids`, { at: 0 }), get(`/plans/${id}/steps`, { limit: 200 })]);

/** Show what was fetched of the open plan in place of what is shown. */
function put([grids, base, steps]) {
  open.followed += 1;
  open.grids = new Map(grids.features.map((grid) => [grid.properties.code, grid]));
  open.gone = grids.gone;
  open.base = base;
  names = new Map(base.features.map(({ properties }) => [properties.code, properties.name]));
  open.steps = steps.steps;
  const levels = [...open.grids.values()].map((grid) => grid.properties.level);
  open.level ??= Math.max(...levels);
}

/** Take one step of redrawing; gives the service's answer. */
export const take = (step) => move("/steps", { ...step, head: open.plan.head });
export const drawNew = (wanted) => move("/draw", { ...wanted, head: open.plan.head });
export const undo = () => move("/undo", { head: open.plan.head });
export const redo = (step) => move("/redo", { head: open.plan.head, ...(step && { step }) });

/** Move the draft by a request of the service, and follow where it stands then. */
const move = async (rest, body) => follow(await unlessLocked(await post(rest, body)));

/** Hold what moved the draft against the locks: a step, taken or taken back, that changes a locked grid is
    turned round at once, and says which. Gives the answer with the `codes` that the step changed, gone ones too. */
async function unlessLocked(answer) {
  const crossed = answer.step?.id ?? answer.steps[0];
  if (!crossed) return { ...answer, codes: [] };
  const step = (await get(path("/steps"), { before: crossed + 1, limit: 1 })).steps[0];
  const names = heldOf(step.codes);
  if (!names) return { ...answer, codes: step.codes };
  await turnRound(answer.plan.head, step);
  throw new Refused(t("lock.held", { names }), 0);
}

/** Turn a step round from where it left the draft, and nowhere else: where others moved the draft on since, it would
    be their step that goes. Then the draft is shown as it is, and what of the locked grids is changed is said. */
async function turnRound(head, { id, parent, codes }) {
  const isTaken = head === id;
  try {
    open.plan = (await (isTaken ? post("/undo", { head }) : post("/redo", { head, step: id }))).plan;
    await listSteps();
    say("plan");
  } catch (error) {
    const changed = await load(open.plan.id).then(() => changedSince(isTaken ? parent : id)).catch(() => codes);
    const names = heldOf(changed);
    const why = error.status === 409 ? t("lock.others") : error.message;
    if (names) throw new Refused(t("lock.changed", { names, why }), 0);
  }
}

/** The grids that the draft has otherwise than at one of its steps, null for its base. */
async function changedSince(step) {
  const { grids } = await get(path("/compare"), { from: step ?? 0, limit: 5000 });
  return grids.filter(({ change }) => change !== "bent").map(({ code }) => code);
}

async function listSteps() {
  open.steps = (await get(path("/steps"), { limit: 200 })).steps;
}

/** Refuse to change grids of which some are locked. */
function refuseLocked(codes, why) {
  const names = heldOf(codes);
  if (names) throw new Refused(t(why, { names }), 0);
}

/** The names of those of some grids that are locked. */
const heldOf = (codes) => codes.filter((code) => open.locked.has(code)).map(nameOf).join(t("list.and"));

/** Offer names for what a split made of a grid. */
export function nameHalves(codes) {
  open.halves = codes;
  say("halves");
}

/** Names of the grids that the draft began with, for those that it took away. */
let names = new Map();

/** What a grid is called by until its code is given, when the plan is handed over. */
export const codeOf = (code) => (isLabel(code) ? t("code.later") : code);

/** Put what a step changed in its place; faults and impact of the whole follow. */
async function follow(answer) {
  if (open.plan?.id !== answer.plan.id) return answer; // another plan was opened meanwhile
  open.plan = answer.plan;
  open.proposals = null;
  open.halves = [];
  for (const code of answer.gone) open.grids.delete(code);
  for (const grid of answer.grids.features) {
    const { code, change } = grid.properties;
    // What merely got a vertex is as it was; what the whole draft did to it follows with the next weighing.
    if (change === "bent") grid.properties.change = open.grids.get(code)?.properties.change ?? null;
    open.grids.set(code, grid);
  }
  open.picked = open.picked.filter((code) => open.grids.has(code));
  await listSteps();
  say("plan", "grids", "picked");
  weighSoon();
  return answer;
}

const RETRY_MS = 5_000;
let weighing = 0;

/** Weigh in the background, and again after a while where the service did not answer: decisions wait for it. */
function weighSoon() {
  const done = weigh();
  const mine = weighing;
  done.catch((error) => {
    tell(error);
    if (!isRefusal(error)) setTimeout(() => open.plan && mine === weighing && weighSoon(), RETRY_MS);
  });
}

/** Whether the service answered that it will not, rather than not at all. */
export const isRefusal = ({ status }) => status >= 400 && status < 500;

/** Ask what is wrong, what would change owner, what each grid has now, how the draft differs in all, and what of it
    must be decided: whenever the draft moved, a conflict was decided, or the map of the city is another. */
async function weigh() {
  const { id } = open.plan;
  const mine = ++weighing;
  const isOver = () => open.plan?.id !== id || mine !== weighing;
  const [faults, impact, differing] = await Promise.all([
    get(path("/faults")), get(path("/impact"), { limit: 100 }), get(path("/grids"), { changed: true }),
  ]);
  if (isOver()) return;
  const isTorn = faults.against.conflicts.length > 0 && UNDECIDED.includes(open.plan.state);
  const { conflicts, against } = isTorn ? await get(path("/conflicts")) : { conflicts: [] };
  if (isOver()) return;
  mark(differing);
  Object.assign(open, { faults, impact, conflicts, against });
  say("faults", "impact", "grids");
  const [moved, table] = [await get(path("/impact"), { format: "geojson", limit: 1000 }), await get(path("/table"), open.range)];
  if (isOver()) return;
  Object.assign(open, { moved, table });
  say("impact", "table");
}

/** Note of each grid what the draft as a whole did to it. */
function mark({ features, gone }) {
  const marks = new Map(features.map(({ properties }) => [properties.code, properties.change]));
  for (const { properties } of open.grids.values()) properties.change = marks.get(properties.code) ?? null;
  open.gone = gone;
}

/** The grids that the draft made or changed; one that only got a vertex is not among them. */
export const changedGrids = () => [...open.grids.values()].filter(({ properties }) => ["new", "changed"].includes(properties.change));

/** How many grids the draft as a whole made, changed or took away. */
export const countChanged = () => changedGrids().length + open.gone.length;

/** Measure the grids by another range of households. */
export async function measureBy(range) {
  open.range = range;
  open.table = await get(path("/table"), range);
  say("table");
}

const LOCKS = (id) => `safetymap.locked.${id}`;

function recallLocks(id) {
  try {
    return JSON.parse(localStorage.getItem(LOCKS(id)) ?? "[]");
  } catch {
    return [];
  }
}

/** Lock a grid against change on this device, or unlock it. */
export function lock(code) {
  if (!open.locked.delete(code)) open.locked.add(code);
  try {
    localStorage.setItem(LOCKS(open.plan.id), JSON.stringify([...open.locked]));
  } catch {
    // Storage may be forbidden: the lock then lasts as long as the page.
  }
  say("locked", "picked");
}

/** Look whether others changed the open plan; then it is loaded anew. Gives whether it was. Where they published, or
    decided a conflict of it, it is weighed anew. */
export async function catchUp() {
  if (!open.plan) return false;
  const { id, head, state } = open.plan;
  const now = await get(`/plans/${id}`);
  if (open.plan?.id !== id || open.plan.head !== head) return false;
  if (now.head === head && now.state === state) {
    if (JSON.stringify(now) !== JSON.stringify(open.plan)) await weighAgain(now);
    return false;
  }
  await load(id);
  return true;
}

/** Weigh a plan whose draft is as it was, but not what becomes of it. */
async function weighAgain(plan) {
  open.plan = plan;
  say("plan");
  await weigh();
}

/** States of a plan in which conflicts can be decided. */
const UNDECIDED = ["draft", "submitted", "approved"];

/** Submit, withdraw, approve, reject, reopen or publish the plan as it is shown, and refused where it has moved on
    since; what stands in the way of publishing is kept. */
export async function act(what, body) {
  try {
    const answer = await post(`/${what}`, { ...body, head: open.plan.head });
    open.conflicts = [];
    await load((answer.plan ?? answer).id);
    return answer;
  } catch (error) {
    if (error.status === 409) await lookAgain();
    throw error;
  }
}

/** Decide a conflict. Theirs takes from the draft what it draws of the grids decided together; mine leaves it as it is. */
export async function resolve(code, choice, against) {
  const { with: together } = open.conflicts.find((one) => one.code === code) ?? {};
  if (!together) throw new Refused(t("refused.unseen_yet"), 0);
  if (choice === "theirs") refuseLocked([...new Set([code, ...together])], "lock.decides");
  const { plan, conflicts } = await decided({ code, take: choice, against });
  const parts = await fetched(plan.id);
  Object.assign(open, { plan, conflicts, against: plan.newest });
  put(parts);
  await weighAgain(plan);
}

async function decided(choice) {
  try {
    return await post("/resolve", { ...choice, head: open.plan.head });
  } catch (error) {
    if (error.status === 409) await lookAgain();
    throw error;
  }
}

/** Show the open plan as it is by now, after a refusal: what is decided next has been seen. */
async function lookAgain() {
  const now = await get(path());
  if (now.head === open.plan.head && now.state === open.plan.state) await weighAgain(now);
  else await load(now.id);
}

/** Bring in a file drawn elsewhere as a step; where it has errors they are shown in place of the draft's. */
export async function bring(file) {
  const headers = { Accept: "application/json", "X-CSRF-Token": session().csrf ?? "" };
  const answer = await fetch(`${path("/import")}?name=${encodeURIComponent(file.name)}&head=${open.plan.head ?? 0}`, { method: "POST", headers, body: file });
  const told = await answer.json();
  if (answer.ok) return follow(await unlessLocked(told));
  if (!told.faults) throw refusal(answer.status, told.detail);
  const { length } = told.faults.features;
  open.faults = { ...told.faults, errors: length, advice: 0, new_errors: length };
  say("faults");
  return told;
}

/** Ask who should have contested ground and nobody's, or take some of that: "sure", or numbers of the list. */
export async function mend(accept) {
  if (accept) await move("/mend", { accept, head: open.plan.head });
  open.proposals = (await post("/mend", {})).proposals;
  say("plan");
}

/** Let the service suggest steps that even the grids out; the locked ones stay as they are. */
export async function suggest(body) {
  const answer = await unlessLocked(await post("/suggest", { ...body, keep: [...open.locked], head: open.plan.head }));
  open.range = { low: body.low, high: body.high };
  open.across = body.across;
  await load(open.plan.id);
  open.reasons = new Map((answer.unresolved ?? []).map(({ code, reason }) => [code, reason]));
  say("table");
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
  const name = open.grids.get(code)?.properties.name ?? names.get(code) ?? labelled().get(code);
  if (!name) return isLabel(code) ? t("grid.new") : code;
  return namesakes().get(name) > 1 ? `${name}…${isLabel(code) ? code : code.slice(-3)}` : name;
}

/** Grids that a draft made have labels until it is handed over. */
export const isLabel = (code) => code.startsWith("~");

let gave = { of: null, names: new Map() };

/** The names that steps gave with labels, for grids that are gone from the draft, or have their codes by now. */
function labelled() {
  if (gave.of !== open.steps) {
    const params = open.steps.flatMap((step) => [step.params, ...(step.params.steps ?? [])]);
    const pairs = params.flatMap(({ into, names: given }) => (Array.isArray(given) ? given.map((name, n) => [into[n], name]) : []));
    gave = { of: open.steps, names: new Map(pairs) };
  }
  return gave.names;
}

/** A text with the names of grids in place of their codes. */
export function named(text, codes = [...open.grids.keys()]) {
  // In one pass, the longest first: a code may begin with another, and a name may hold a code.
  const longest = [...codes].sort((a, b) => b.length - a.length).map((code) => code.replace(/[^\p{L}\p{N}]/gu, "\\$&"));
  return longest.length ? text.replace(new RegExp(`(?<![A-Za-z0-9~])(?:${longest.join("|")})(?![A-Za-z0-9])`, "g"), (code) => nameOf(code)) : text;
}

let counted = { of: null, names: new Map() };

function namesakes() {
  if (counted.of !== open.steps) {
    const bearers = new Map();
    for (const { properties } of open.grids.values()) bearers.set(properties.name, (bearers.get(properties.name) ?? 0) + 1);
    counted = { of: open.steps, names: bearers };
  }
  return counted.names;
}
