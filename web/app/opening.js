/** What every page does as it opens: says that it is loading or could not, and offers the city's languages. */

import { $ } from "./dom.js";
import { t } from "./i18n.js";
import { change, state } from "./state.js";
import { toast } from "./toast.js";

/** The page is there: the word that it is coming goes. */
export function loaded() {
  $("#loading").hidden = true;
  document.body.removeAttribute("aria-busy");
}

/** The page could not be opened: say why, in its place and as a message. */
export function stopped(error) {
  const text = t("error.start", { reason: error.message });
  $("#loading").textContent = text;
  toast(text);
}

/** Speak a language that the city has; the button changes to its other one, and is not there without one. */
export function offerLanguages({ languages }) {
  if (!languages.includes(state.lang)) change({ lang: languages[0] });
  $("#language").hidden = languages.length < 2;
  $("#language").addEventListener("click", () => change({ lang: state.lang === "zh" ? "en" : "zh" }));
}
