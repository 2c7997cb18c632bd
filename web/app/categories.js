/** The category filter: the tree as one indented choice. */

import { $, fill, h } from "./dom.js";
import { pick, t } from "./i18n.js";
import { change, onChange, state } from "./state.js";

let tree = [];

/** Offer every category, children below their parent. */
export function categories(found) {
  tree = found;
  $("#category").addEventListener("change", (event) => change({ category: event.target.value }));
  onChange((changed) => (changed.has("lang") || changed.has("category")) && show());
  show();
}

/** The name of a category, its code where it is unknown. */
export function categoryName(code) {
  const one = tree.find((category) => category.code === code);
  return one ? pick(one.name_zh, one.name_en) : code;
}

function show() {
  fill($("#category"), h("option", { value: "" }, t("category.all")), branches(null, 0));
  $("#category").value = state.category;
}

function branches(parent, depth) {
  return tree
    .filter((category) => (category.parent ?? null) === parent)
    .flatMap((category) => [option(category, depth), ...branches(category.code, depth + 1)]);
}

function option(category, depth) {
  const indent = "\u2003".repeat(depth);
  return h("option", { value: category.code }, `${indent}${pick(category.name_zh, category.name_en)}`);
}
