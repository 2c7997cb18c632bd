/** Notice letters on the board: drafts with their evidence, those kept, and the acts on them. */

import { caution } from "./analysis-words.js";
import { get, send } from "./api.js";
import { categoryName } from "./categories.js";
import { h } from "./dom.js";
import { visitGrid } from "./grid-view.js";
import { t } from "./i18n.js";
import { asked } from "./period.js";
import { shownRecord } from "./record.js";
import { session } from "./session.js";
import { state } from "./state.js";
import { tell, toast } from "./toast.js";

const MOST = 20;
const ISSUERS = ["approver", "admin"];

/** The nodes of drafts and kept letters. */
export async function letters({ draw }) {
  const { from, to } = asked();
  const found = await get("/letters", { ...shownRecord(), from, to, limit: MOST });
  const words = { total: found.total, shown: found.drafts.length };
  return [
    h("h3", {}, t("letters.drafts")),
    caution(found),
    h("p", { class: "quiet" }, found.total ? t("letters.total", words) : t("letters.none")),
    found.drafts.map((draft) => one(draft, keepButton(draft, draw))),
    found.kept.length > 0 && h("h3", {}, t("letters.kept")),
    found.kept.map((letter) => one(letter, actions(letter, draw))),
  ];
}

function one(letter, acts) {
  const { title, body } = letter.texts[state.lang];
  const about = [letter.evidence.grid_name, letter.category && categoryName(letter.category)].filter(Boolean);
  const go = h("button", { type: "button", class: "link", onclick: () => visitGrid(letter.grid) }, about.join(" · "));
  const mark = letter.state && h("span", { class: "state" }, `No. ${letter.id} · ${t(`letters.state.${letter.state}`)}`);
  const text = body.split("\n\n").map((part) => h("p", {}, part));
  return h(
    "details",
    { class: "letter", "data-kind": letter.kind, "data-grid": letter.grid, "data-state": letter.state ?? "proposed" },
    h("summary", {}, h("strong", {}, title), " ", go, " ", mark),
    text,
    h("p", { class: "quiet" }, letter.evidence.incidents.join(", ")),
    h("p", { class: "choice" }, acts),
  );
}

const button = (name, onclick) => h("button", { type: "button", class: "button", onclick }, t(`letters.${name}`));

function keepButton({ grid, category, evidence: { start, end } }, draw) {
  return button("keep", () => act("/letters", { grid, category, start, end }, draw));
}

function actions({ id, state: now }, draw) {
  const print = h("a", { class: "button", target: "_blank", rel: "noopener", href: `/letters/${id}/print?lang=${state.lang}` }, t("letters.print"));
  const issue = now === "draft" && ISSUERS.includes(session().role) && button("issue", () => act(`/letters/${id}/issue`, undefined, draw));
  return [print, issue];
}

async function act(path, body, draw) {
  try {
    const { id } = await send("POST", path, body, session().csrf);
    toast(t("letters.done", { id }));
    draw();
  } catch (error) {
    tell(error);
  }
}
