/** What a measure did, on the board: an area's change beside a control's, with a ring for what moved next door. */

import { caution, number } from "./analysis-words.js";
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { asked } from "./period.js";
import { shownRecord } from "./record.js";
import { tell } from "./toast.js";

const FIELDS = ["area", "control", "ring_m"];
const DIFFERENCES = ["difference", "harm", "displaced"];

/** What was asked last: it stays while the board is drawn anew. */
const given = { area: "", control: "", ring_m: "" };

/** The nodes of the question and of its answer. */
export async function evaluation() {
  const answer = h("div", { id: "evaluation-answer" });
  const form = h("form", { class: "choice", id: "evaluation-form" }, FIELDS.map(field), h("button", { class: "button" }, t("evaluation.ask")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    for (const name of FIELDS) given[name] = form.elements[name].value.trim();
    ask(answer);
  });
  if (given.area && given.control) ask(answer);
  return [h("p", { class: "quiet" }, t("evaluation.words")), form, answer];
}

function field(name) {
  const number = name === "ring_m" ? { type: "number", min: 1, max: 5000 } : { type: "text", maxlength: 80, required: true };
  return h("label", {}, t(`evaluation.${name}`), " ", h("input", { name, value: given[name], ...number }));
}

async function ask(answer) {
  try {
    fill(answer, told(await get("/evaluation", { ...asked(), ...shownRecord(), ...given })));
  } catch (error) {
    fill(answer, h("p", { class: "quiet" }, error.message));
    tell(error);
  }
}

const sums = (counts) => Object.values(counts).reduce(([b, a], [before, after]) => [b + before, a + after], [0, 0]);

function told(found) {
  const places = ["area", "control", "ring"].filter((name) => found[name]);
  const counts = places.flatMap((name) => {
    const [before, after] = sums(found[name]);
    return [h("dt", {}, t(`evaluation.${name}`)), h("dd", { "data-name": name }, t("evaluation.counts", { before, after }))];
  });
  const differences = DIFFERENCES.filter((name) => name !== "displaced" || found.ring).flatMap((name) => {
    if (!found[name]) return [h("dt", {}, t(`evaluation.${name}`)), h("dd", { "data-name": name }, t("evaluation.unknown"))];
    const { value, low, high, p } = found[name];
    const words = { value: signed(value), low: signed(low), high: signed(high) };
    const sure = low > 0 ? "more" : high < 0 ? "fewer" : "same";
    return [
      h("dt", {}, t(`evaluation.${name}`)),
      h("dd", { "data-name": name, "data-value": value, "data-p": p }, h("strong", { class: `change ${sure}` }, t(`evaluation.${sure}`)), " ", t("evaluation.value", words)),
    ];
  });
  return [caution(found), h("p", {}, t("evaluation.period", { start: found.start.slice(0, 10), end: found.end.slice(0, 10) })), h("dl", {}, counts, differences), found.empty.map(void_)];
}

const void_ = (name) => h("p", { class: "quiet", "data-empty": name }, t("evaluation.empty", { place: t(`evaluation.${name}`) }));

const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 1)}`;
