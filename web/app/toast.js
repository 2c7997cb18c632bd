/** Short messages that say what went wrong, read out by screen readers, gone after a while. */

import { $, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { signIn } from "./session.js";

const SECONDS = 9;

/** Show a message; an equal one already shown is not repeated. */
export function toast(text, kind = "error") {
  const holder = $("#toasts");
  if ([...holder.children].some((shown) => shown.dataset.text === text)) return;
  const close = h(
    "button",
    { type: "button", class: "plain", "aria-label": t("details.close"), onclick: () => note.remove() },
    icon("close"),
  );
  const note = h(
    "div",
    { class: `toast ${kind}`, "data-text": text },
    icon("alert"),
    h("p", {}, text),
    close,
  );
  holder.append(note);
  setTimeout(() => note.remove(), SECONDS * 1000);
}

/** Tell a failure, except that of a question nobody waits for any more; where a session is over, offer another. */
export function tell(error) {
  if (error?.status === 401) signIn();
  if (error?.name !== "AbortError") toast(error?.message ?? String(error));
}
