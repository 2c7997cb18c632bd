/** The panel beside the planner's map: the list of plans, a new one, and the plan that is open. */

import { $, fill, h, refill } from "./dom.js";
import { pick as choose, t } from "./i18n.js";
import { sketch } from "./plan-draw.js";
import { overview, zoomTo } from "./plan-map.js";
import { mending } from "./plan-mend.js";
import { act, codeOf, countChanged, create, isLabel, leave, load, nameHalves, nameOf, onOpen, open, pick, pickOnly, plans, redo, resolve, suggest, take, workOn } from "./plan-store.js";
import { comparison } from "./plan-compare.js";
import { obstacle } from "./plan-refusals.js";
import { asShown, asked, canEdit, chainAt, doing, inTurn } from "./plan-tools.js";
import { session, signIn } from "./session.js";
import { onChange } from "./state.js";
import { toast } from "./toast.js";
import { files } from "./plan-files.js";

let city = null;

export async function showPanel(of) {
  city = of;
  onOpen((what) => ["plan", "level", "picked", "faults", "halves"].some((part) => what.has(part)) && draw());
  onChange((changed) => changed.has("lang") && draw());
  await draw();
}

const mayRead = () => ["commander", "planner", "approver", "admin"].includes(session().role);
const mayPlan = () => ["planner", "approver", "admin"].includes(session().role);
const mayDecide = () => ["approver", "admin"].includes(session().role);
/** Whoever had a hand in a plan does not approve it. */
const mayApprove = () => mayDecide() && !open.plan.hands.includes(session().name);

async function draw() {
  if (!mayRead()) return fill($("#panel"), block(null, h("p", {}, t("plan.signin")), button("session.in", () => signIn(), "main")));
  if (open.plan) return drawPlan();
  const [left, isLeft] = [shown, shown !== null && $("#panel").contains(document.activeElement)];
  shown = null;
  const found = await plans();
  if (open.plan) return;
  refill($("#panel"), mayPlan() && newPlan(), list(found), mayPlan() && files());
  if (isLeft) ($(`[data-plan="${left}"]`) ?? $("#panel button, #panel input"))?.focus();
}

const block = (title, ...content) => h("section", { class: "block" }, title && h("h2", {}, title), content);
const button = (key, onclick, kind = "", id = key.replaceAll(".", "-")) =>
  h("button", { type: "button", class: `button ${kind}`, id, onclick }, t(key));

function newPlan() {
  const title = h("input", { id: "new-title", required: true, maxlength: 200 });
  const scope = h("input", { id: "new-scope", required: true, maxlength: 80, list: "new-scopes", autocomplete: "off" });
  const choices = h("datalist", { id: "new-scopes" });
  const several = city.schemes.length > 1;
  const scheme = h("select", { id: "new-scheme" }, city.schemes.map((one) =>
    h("option", { value: one.name, selected: one.name === city.scheme }, schemeOf(one.name))));
  const chain = h("p", { class: "chain-choice" });
  const today = new Date().toLocaleDateString("sv", { timeZone: city.timezone });
  const day = h("input", { id: "new-day", type: "date", value: today, required: true });
  const onMap = async () => {
    const at = await sketch("place", t("new.where"));
    const found = at && (await doing(chainAt, at[0], scheme.value));
    if (!found) return;
    const upper = found.slice(1);
    fill(chain, upper.map((grid) => h("button", { type: "button", class: "button", onclick: () => (scope.value = grid.code) },
      `${choose(grid.level_name, grid.level_name_en)} ${grid.name}`)));
    scope.value = upper[0]?.code ?? found[0].code;
  };
  const begin = (event) => {
    event.preventDefault();
    doing(create, { title: title.value, scheme: scheme.value, scope: scope.value.trim(), effective_on: day.value }).then((done) => done !== null && overview());
  };
  return block(t("new.title"), h("form", { class: "form", id: "new-plan", onsubmit: begin },
    h("label", {}, t("new.name"), title),
    several && h("label", {}, t("record.scheme"), scheme),
    h("label", {}, t("new.scope"), scope, choices),
    button("new.pick", onMap), chain,
    h("label", {}, t("new.day"), day),
    h("button", { class: "button main" }, t("new.begin"))));
}

/** The title of a scheme of the city. */
function schemeOf(name) {
  const one = city.schemes.find((of) => of.name === name);
  return one ? choose(one.title_zh, one.title_en) : name;
}

function list({ plans: found, more }) {
  const row = (plan) => h("li", {}, h("button", { type: "button", id: `open-${plan.id}`, "data-plan": plan.id, onclick: () => inTurn(() => load(plan.id)).then(overview) },
    h("strong", {}, plan.title), h("span", { class: `state ${plan.state}` }, t(`state.${plan.state}`)),
    h("small", {}, `${city.schemes.length > 1 ? `${schemeOf(plan.scheme)} · ` : ""}${plan.scope} · ${t("plan.from", { day: plan.effective_on })} · ${plan.author}`)));
  return block(t("plans.title"), found.length ? h("ul", { class: "plans" }, found.map(row)) : h("p", { class: "quiet" }, t("plans.none")),
    more && h("p", { class: "quiet" }, t("plans.more")));
}

/** The plan that the panel shows. */
let shown = null;

function drawPlan() {
  const { plan } = open;
  const facts = [city.schemes.length > 1 && ["record.scheme", schemeOf(plan.scheme)], ["plan.scope", `${plan.scope_name} ${plan.scope}`], ["plan.day", plan.effective_on], ["plan.author", plan.author],
    plan.hands.length > 1 && ["plan.hands", plan.hands.join(choose("、", ", "))],
    plan.approver && ["plan.approver", plan.approver], plan.revision && ["plan.revision", String(plan.revision)],
    plan.note && ["plan.note", plan.note], ["plan.changed", String(countChanged())]].filter(Boolean);
  const isEntered = shown !== plan.id && $("#panel").contains(document.activeElement);
  (shown === plan.id ? refill : fill)($("#panel"),
    block(null, h("p", {}, button("plan.back", () => inTurn(leave), "link")),
      h("h2", { class: "plan-title", id: "plan-title", tabindex: "-1" }, plan.title, h("span", { class: `state ${plan.state}`, id: "state" }, t(`state.${plan.state}`))),
      h("dl", {}, facts.flatMap(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)])),
      plan.newest > plan.based_on && plan.state !== "published" && h("p", { class: "note" }, t("plan.moved_on")), life()),
    open.conflicts.length > 0 && mayPlan() && conflicts(), canEdit() && naming(), canEdit() && picked(), canEdit() && evening(), canEdit() && mending(), steps(), comparison(), files());
  if (isEntered) $("#plan-title").focus();
  shown = plan.id;
}

/** What may be done with the plan as a whole, by its state and who asks. */
function life() {
  const { state } = open.plan;
  const why = (state === "draft" && mayPlan() && hindrance()) || (mayDecide() && unweighed());
  const doable = [
    state === "draft" && mayPlan() && ["submit", "main"],
    state === "submitted" && mayApprove() && ["approve", "main"],
    state === "approved" && mayDecide() && ["publish", "main"],
    state === "approved" && mayApprove() && open.plan.newest !== open.plan.approved_against && ["approve", ""],
    ["submitted", "approved"].includes(state) && mayDecide() && ["reject", ""],
    ["submitted", "rejected", "withdrawn"].includes(state) && mayPlan() && ["reopen", ""],
    state === "draft" && mayPlan() && ["withdraw", ""],
  ].filter(Boolean);
  return h("p", { class: "row", "data-then": "plan-title" }, doable.map(([what, kind]) => lifeButton(what, kind, why)),
    why && h("span", { class: "quiet", id: "submit-why" }, why),
    state === "submitted" && !mayApprove() && h("span", { class: "quiet" }, t("life.waits")));
}

function lifeButton(what, kind, why) {
  const made = button(`life.${what}`, () => (what === "reject" ? sendBack() : doing(act, what, what === "approve" ? seen() : undefined)), kind);
  made.disabled = ["submit", "approve", "publish"].includes(what) && Boolean(why);
  if (made.disabled) made.setAttribute("aria-describedby", "submit-why");
  return made;
}

/** The map that the impact shown is told against: an approval is of that, and refused where it moved on. */
const seen = () => (open.impact?.against.final ? { against: open.impact.against.revision } : undefined);

/** Why a draft cannot be submitted yet, in words; empty where nothing stands in the way. */
function hindrance() {
  const { faults } = open;
  if (!countChanged()) return t("submit.unchanged");
  return faults ? obstacle(faults) : t("submit.checking");
}

/** Why a plan that was handed over cannot be decided yet: nobody decides on what is not shown. */
const unweighed = () => (["submitted", "approved"].includes(open.plan.state) && !open.impact ? t("submit.checking") : "");

/** Ask why a plan is sent back; whoever drew it reads that. */
async function sendBack() {
  const doNow = asShown();
  const note = h("textarea", { required: true, maxlength: 2000, rows: 3 });
  const why = await asked(t("life.reject"), h("label", {}, t("life.reject.why"), note), () => ({ note: note.value }));
  if (why) await doNow(act, "reject", why);
}

function picked() {
  const levels = open.levels.filter(({ level }) => [...open.grids.values()].some(({ properties }) => properties.level === level));
  const level = h("select", { id: "level", "aria-label": t("pick.level"), onchange: (event) => workOn(Number(event.target.value)) },
    levels.map(({ level: rank, name_zh, name_en }) => h("option", { value: rank, selected: rank === open.level }, choose(name_zh, name_en))));
  const codes = [...open.grids.values()].filter(({ properties }) => properties.level === open.level).map(({ properties }) => properties.code).sort();
  const add = h("select", { id: "pick", "aria-label": t("pick.add"), onchange: (event) => event.target.value && pick(event.target.value) },
    h("option", { value: "" }, t("pick.add")), codes.filter((code) => !open.picked.includes(code)).map((code) => h("option", { value: code }, `${nameOf(code)}  ${codeOf(code)}`)));
  const heirs = (at) => [open.picked[at + 1], open.picked[at - 1]].filter(Boolean).map((code) => `off-${code}`).concat("picking").join(" ");
  const chip = (code, at) => h("li", {}, h("button", { type: "button", id: `off-${code}`, "data-then": heirs(at), title: t("pick.off"), onclick: () => pick(code) }, `${nameOf(code)} ✕`), h("code", {}, codeOf(code)));
  return h("section", { class: "block", id: "picking", tabindex: "-1", "data-then": "picking" }, h("h2", {}, t("pick.title")), h("label", { class: "row" }, t("pick.level"), level), add,
    open.picked.length ? h("ul", { class: "picked", id: "picked" }, open.picked.map(chip)) : h("p", { class: "quiet" }, t("pick.none")),
    open.picked.length > 0 && button("pick.clear", () => pickOnly([]), "link"));
}

/** The names of what the last split made: those changed are given as steps. */
function naming() {
  if (!open.halves.length) return null;
  const inputs = open.halves.map((code) => [code, h("input", { id: `half-${code}`, value: open.grids.get(code)?.properties.name ?? "", maxlength: 200, required: true })]);
  const give = async (event) => {
    event.preventDefault();
    const changed = inputs.filter(([code, input]) => input.value !== open.grids.get(code).properties.name);
    for (const [code, input] of changed) await doing(take, { op: "rename", code, name: input.value });
    nameHalves([]);
  };
  const label = ([code, input]) => h("label", {}, codeOf(code), input);
  return block(t("halves.title"), h("form", { class: "form", id: "halves", "data-then": "picking", onsubmit: give }, inputs.map(label),
    h("button", { class: "button main", id: "halves-give" }, t("halves.give"))));
}

function evening() {
  const { low: least, high: most } = open.range;
  const low = h("input", { type: "number", id: "low", min: 0, value: least });
  const high = h("input", { type: "number", id: "high", min: 1, value: most });
  const across = h("input", { type: "checkbox", id: "across", checked: open.across });
  const wanted = () => ({ low: Number(low.value), high: Number(high.value), across: across.checked });
  const ask = () => doing(suggest, wanted()).then(tellSuggested);
  return h("details", { class: "block", id: "evening" }, h("summary", {}, t("suggest.title")), h("p", { class: "quiet" }, t("suggest.what")),
    h("p", { class: "row" }, h("label", {}, t("suggest.low"), low), h("label", {}, t("suggest.high"), high)),
    h("label", { class: "aid" }, across, t("suggest.across")), button("suggest.do", ask));
}

/** Say what a suggestion did, and which grids stay out of the range and why. */
function tellSuggested(answer) {
  if (answer) toast(answer.codes.length ? t("suggest.told", { grids: answer.codes.length }) : t("suggest.nothing"), "note");
}

function conflicts() {
  const row = ({ code, with: together, mine, theirs }) => h("li", {},
    h("strong", {}, `${(mine ?? theirs)?.properties.name || nameOf(code)} ${codeOf(code)}`),
    together.length > 1 && h("small", {}, t("conflict.with", { codes: together.map(nameOf).join(t("list.and")) })),
    h("p", { class: "row", "data-then": "conflicts plan-title" }, ["mine", "theirs"].map((choice) => button(`conflict.${choice}`, () => doing(resolve, code, choice, open.against), "", `${choice}-${code}`)),
      (mine || theirs) && button("conflict.see", () => zoomTo([mine, theirs].filter(Boolean).map(({ geometry }) => geometry)), "link", `see-${code}`)));
  return block(t("conflict.title"), h("p", { class: "note" }, t("conflict.what")), h("ul", { class: "conflicts", id: "conflicts", tabindex: "-1", "data-then": "conflicts plan-title" }, open.conflicts.map(row)));
}

/** Steps taken together that have a name of their own. */
const GROUPS = { suggest: "suggest.title" };

/** The grids that a step changed, each once: one that got its code was called by a label before. */
const changedBy = ({ op, codes }) => (op === "recode" ? codes.filter((code) => !isLabel(code)) : codes);

/** The tree of steps, newest first: those undone are pale, and one that can be done again says so. */
function steps() {
  const done = new Set();
  const parents = new Map(open.steps.map((step) => [step.id, step.parent]));
  for (let at = open.plan.head; at; at = parents.get(at) ?? null) done.add(at);
  const row = (step) => h("li", { class: done.has(step.id) ? "" : "undone", "aria-current": step.id === open.plan.head ? "step" : null },
    h("span", {}, t(GROUPS[step.params.title] ?? `tool.${step.op}`)), h("small", {}, changedBy(step).slice(0, 4).map(nameOf).join(t("list.and"))),
    canEdit() && open.plan.can_redo.includes(step.id) && h("button", { type: "button", class: "link", id: `redo-${step.id}`, onclick: () => doing(redo, step.id) }, t("tool.redo")));
  return block(t("steps.title"), open.steps.length ? h("ol", { class: "steps", id: "steps", tabindex: "-1", "data-then": "steps" }, open.steps.map(row)) : h("p", { class: "quiet" }, t("steps.none")));
}
