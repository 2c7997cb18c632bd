/** The planner's tools: what may be done with the grids picked, as one row of labelled buttons. */

import { Refused, get } from "./api.js";
import { $, h, refill } from "./dom.js";
import { t } from "./i18n.js";
import { cancel, sketch, whatIsAt } from "./plan-draw.js";
import { trace } from "./plan-map.js";
import { worded } from "./plan-refusals.js";
import { codeOf, drawNew, nameHalves, nameOf, onOpen, open, pickOnly, redo, take, undo } from "./plan-store.js";
import { session } from "./session.js";
import { onChange } from "./state.js";
import { tell, toast } from "./toast.js";

/** A line used up to this share counts as used: its ends are laid onto borders. */
const MOST_OF = 0.99;

const some = (least, most = least) => () =>
  open.picked.length >= least && open.picked.length <= most && !open.picked.some((code) => open.locked.has(code));
const line = (coordinates) => ({ type: "LineString", coordinates });
const area = (ring) => ({ type: "Polygon", coordinates: [[...ring, ring[0]]] });

/** Every tool: when it can be used, and how it gets the parameters of its step (null: given up). */
const TOOLS = [
  { name: "split", ready: some(1), ask: async ([code]) => drawn("line", "split", (points) => ({ code, line: line(points) })) },
  { name: "merge", ready: some(2, 50), ask: merge },
  { name: "reshape", ready: some(2), ask: async (codes) => drawn("line", "reshape", (points) => ({ codes, line: line(points) })) },
  { name: "move_vertex", ready: () => true, ask: moveVertex },
  { name: "assign", ready: some(1), ask: async ([to]) => drawn("area", "assign", (points) => ({ to, area: area(points) })) },
  { name: "give", ready: some(1), ask: async ([to]) => drawn("place", "give", ([at]) => ({ at, to }), { snaps: false }) },
  { name: "transfer", ready: some(1), ask: transfer },
  { name: "rename", ready: some(1), ask: rename },
  { name: "draw", ready: some(1), ask: fromStreets, act: drawNew },
];

export const canEdit = () => ["planner", "approver", "admin"].includes(session().role) && open.plan?.state === "draft";

let using = null;

/** Show the tools of a draft and keep them fitting what is picked. */
export function tools() {
  onOpen((what) => (what.has("plan") || what.has("picked") || what.has("level")) && show());
  onChange((changed) => changed.has("lang") && show());
  addEventListener("keydown", shortcut);
}

function show() {
  $("#toolbar").hidden = !canEdit();
  if (!canEdit()) return;
  const button = (tool) => h("button", { type: "button", id: `tool-${tool.name}`, class: "button", disabled: !tool.ready(),
    title: t(`tool.${tool.name}.how`), "aria-pressed": String(using === tool.name), onclick: () => use(tool) }, t(`tool.${tool.name}`));
  const { can_undo: back, can_redo: again } = open.plan;
  refill(
    $("#toolbar"),
    h("button", { type: "button", id: "undo", class: "button", disabled: !back, title: "Ctrl+Z", onclick: () => doing(undo) }, t("tool.undo")),
    h("button", { type: "button", id: "redo", class: "button", disabled: !again.length, title: "Ctrl+Y", onclick: () => doing(redo) }, t("tool.redo")),
    h("span", { class: "between", "aria-hidden": "true" }),
    TOOLS.map(button),
  );
}

function shortcut(event) {
  if (!(event.ctrlKey || event.metaKey) || !canEdit() || event.target.matches("input, textarea")) return;
  const what = { z: event.shiftKey ? redo : undo, y: redo }[event.key.toLowerCase()];
  if (!what || (what === undo ? !open.plan.can_undo : !open.plan.can_redo.length)) return;
  event.preventDefault();
  doing(what);
}

let last = Promise.resolve();
let waiting = 0;

/** A way to do something to the plan as it is shown now, with whatever is asked of its user in between. Where the page
    comes to show something else before it is its turn, it is refused: whoever began it has not seen that. */
export function asShown() {
  const { followed } = open;
  return (what, ...given) =>
    inTurn(() => {
      if (open.followed !== followed) throw new Refused(t("refused.unseen_yet"), 0);
      return what(...given);
    });
}

/** Do something to the plan as it is shown at the press. */
export const doing = (what, ...given) => asShown()(what, ...given);

/** Do one thing after another; a refusal is told, and the plan stays as it is: null. */
export function inTurn(what) {
  document.body.classList.toggle("busy", ++waiting > 0);
  const done = last.then(what).catch((error) => {
    tell(worded(error));
    return null;
  });
  last = done.finally(() => document.body.classList.toggle("busy", --waiting > 0));
  return done;
}

async function use(tool) {
  cancel();
  using = tool.name;
  show();
  const act = asShown();
  const wanted = await tool.ask([...open.picked]);
  using = null;
  show();
  if (!wanted) return;
  const answer = await (tool.act ? act(tool.act, wanted) : act(confirmed, { op: tool.name, ...wanted }));
  if (!answer) return;
  told(answer);
  if (answer.line) showUsed(wanted.line, answer.line);
}

/** Where a step has used less of a line than was drawn, say so and show it. */
function showUsed(drawnLine, used) {
  if (lengthOf(used) > MOST_OF * lengthOf(drawnLine)) return;
  trace(drawnLine, used);
  toast(t("step.trimmed"), "note");
}

/** The length of lines in degrees of latitude, for comparing lines of one place. */
function lengthOf({ type, coordinates }) {
  if (type !== "LineString") return coordinates.map((part) => lengthOf({ type: "LineString", coordinates: part })).reduce((a, b) => a + b, 0);
  const east = Math.cos((coordinates[0][1] * Math.PI) / 180);
  return coordinates.slice(1).map(([x, y], i) => Math.hypot((x - coordinates[i][0]) * east, y - coordinates[i][1])).reduce((a, b) => a + b, 0);
}

/** Take a step; where it makes more pieces than are usually meant, ask first. */
async function confirmed(step) {
  try {
    return await take(step);
  } catch (error) {
    const pieces = Number(/confirm_pieces: (\d+)/.exec(error.message)?.[1]);
    if (!pieces || !(await asked(t("tool.split"), h("p", {}, t("tool.split.pieces", { pieces })), () => true))) throw error;
    return take({ ...step, confirm_pieces: pieces });
  }
}

function told({ codes, step }) {
  toast(t("step.done", { op: t(`tool.${step.op}`), codes: codes.slice(0, 6).map(nameOf).join(t("list.and")) }), "note");
  if (step.op !== "split") return;
  pickOnly(codes.filter((code) => open.grids.get(code)?.properties.change === "new"));
  nameHalves(codes.filter((code) => open.grids.get(code)?.properties.level === open.level));
}

async function drawn(kind, name, make, { snaps = true } = {}) {
  const points = await sketch(kind, t(`tool.${name}.how`), { snaps });
  return points && make(points);
}

async function moveVertex() {
  const from = await sketch("place", t("tool.move_vertex.from"), { snaps: true });
  if (!from) return null;
  const [[lng, lat]] = from;
  const { at, kind } = await whatIsAt({ lng, lat });
  if (kind !== "vertex") {
    toast(t("tool.move_vertex.none"));
    return null;
  }
  const to = await sketch("place", t("tool.move_vertex.to"));
  return to && { at, to: to[0] };
}

/** Ask something in a small dialog; gives what `read` finds, or null when closed. */
export function asked(title, content, read) {
  return new Promise((done) => {
    const dialog = h("dialog", { class: "session ask", "aria-label": title });
    const close = (value) => {
      dialog.close(); // gives the focus back to where it was
      dialog.remove();
      done(value);
    };
    const form = h("form", { onsubmit: (event) => { event.preventDefault(); close(read()); } }, h("h2", {}, title), content,
      h("p", { class: "row" }, h("button", { class: "button main" }, t("ask.do")),
        h("button", { type: "button", class: "button", onclick: () => close(null) }, t("ask.not"))));
    dialog.append(form);
    dialog.addEventListener("cancel", () => close(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

const option = (code) => h("option", { value: code }, `${nameOf(code)}  ${codeOf(code)}`);

function merge(codes) {
  const into = h("select", {}, codes.map(option));
  return asked(t("tool.merge"), h("label", {}, t("tool.merge.into"), into), () => ({ codes, into: into.value }));
}

function rename([code]) {
  const name = h("input", { value: open.grids.get(code).properties.name ?? "", maxlength: 200, required: true });
  return asked(t("tool.rename"), h("label", {}, t("tool.rename.to", { code: codeOf(code) }), name), () => ({ code, name: name.value }));
}

function transfer([code]) {
  const own = open.grids.get(code).properties.parent_code;
  const level = open.grids.get(own)?.properties.level;
  const others = [...open.grids.values()].map(({ properties }) => properties).filter((grid) => grid.level === level && grid.code !== own);
  if (!others.length) {
    toast(t("tool.transfer.none"));
    return null;
  }
  const parent = h("select", {}, others.map((grid) => option(grid.code)));
  return asked(t("tool.transfer"), h("label", {}, t("tool.transfer.to", { name: nameOf(code) }), parent), () => ({ code, parent: parent.value }));
}

function fromStreets([code]) {
  const number = (value) => h("input", { type: "number", min: 1, required: true, value });
  const [low, high] = [number(300), number(500)];
  const content = [h("p", { class: "quiet" }, t("tool.draw.how")), h("label", {}, t("suggest.low"), low), h("label", {}, t("suggest.high"), high)];
  return asked(t("tool.draw"), content, () => ({ code, low: Number(low.value), high: Number(high.value) }));
}

/** Whose a place is, for choosing the scope of a new plan: the chain, highest level last. */
export const chainAt = async ([lon, lat], scheme) => (await get("/grids/at", { lon, lat, scheme })).chain;
