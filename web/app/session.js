/** Who the user is to the service: told in the bar, changed in a dialog; the key itself is never kept. */

import { get, send } from "./api.js";
import { $, fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { onIdle, wasIdle } from "./idle.js";
import { onChange } from "./state.js";

let now = { role: "public", full_role: "public", scope: null, layers: [], csrf: null };
let offered = [];
/** Why the demo's log-ins are not offered, where they could be. */
let closed = "";

/** Ask who we are; the layers and tiles that follow depend on it. */
export async function openSession() {
  now = await get("/session");
  $("#who").addEventListener("click", () => signIn());
  if (now.idle_s) onIdle(now.idle_s, signOut);
  onChange((changed) => changed.has("lang") && show());
  show();
  addEventListener("hashchange", openDemo);
  await openDemo();
  if (wasIdle()) await signIn(t("session.idle"));
}

/** Where the page was opened by a link of the demo, exchange its token, which serves once, for this browser's right
    to the demo's log-ins, and offer them to whoever has no session. The token leaves the address. */
async function openDemo() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const token = hash.get("demo");
  if (!token) return;
  hash.delete("demo");
  history.replaceState(history.state, "", `#${decodeURIComponent(hash.toString())}`);
  const fault = await send("POST", "/session/demo", { token }, now.csrf).then(
    () => "",
    (error) => error.message,
  );
  if (fault || now.role === "public") await signIn(fault);
}

/** Another window of the browser may have signed in anew: as the same, the page goes on with the new session; as
    somebody else, it begins anew. */
addEventListener("session-doubted", async () => {
  const there = await get("/session").catch(() => null);
  const isSame = (name) => JSON.stringify(there[name]) === JSON.stringify(now[name]);
  if (there && ["role", "scope", "name"].every(isSame)) now = there;
  else if (there) location.reload();
});

/** The session: role, scope, layers. */
export const session = () => now;

/** Whether nothing of the city is hidden from the user for lack of a role or by a scope. */
export const seesAll = () => now.role !== "public" && now.scope === null;

/** Open the dialog in which an identity is chosen; it says what went wrong before, if anything did. */
export async function signIn(fault = "") {
  if ($("#session").open) return;
  [offered, closed] = await get("/session/demo").then(
    (keys) => [keys, ""],
    (error) => [[], error.status === 401 ? error.message : ""],
  );
  draw(fault);
  $("#session").showModal();
  $("#session").querySelector("ul button, input").focus(); // not the first of all, which closes it
}

const title = ({ role, scope }) => [t(`role.${role}`), scope].filter(Boolean).join(" · ");

function show() {
  $("#who").textContent = title(now);
  if ($("#session-now")) fill($("#session-now"), t("session.now", { who: title(now) }));
}

function draw(fault = "") {
  const close = h(
    "button",
    {
      type: "button",
      class: "plain",
      "aria-label": t("details.close"),
      onclick: () => $("#session").close(),
    },
    icon("close"),
  );
  const demo = (offered.length > 0 || closed) && [
    h("h3", {}, t("session.demo")),
    closed ? h("p", { class: "quiet" }, closed) : h("ul", {}, offered.map(demoButton)),
  ];
  fill(
    $("#session"),
    h("header", {}, h("h2", { id: "session-title" }, t("session.title")), close),
    h("p", { id: "session-now" }, t("session.now", { who: title(now) })),
    now.role === "public" && h("p", { class: "quiet" }, t("session.public")),
    demo,
    form(fault),
    now.role !== "public" &&
      h("button", { type: "button", class: "button", onclick: signOut }, t("session.out")),
  );
}

function demoButton(key) {
  const { label } = key;
  return h(
    "li",
    {},
    h("button", { type: "button", class: "button", onclick: () => enter({ demo: label }) }, title(key)),
  );
}

function form(fault) {
  const key = h("input", {
    type: "password",
    name: "key",
    autocomplete: "off",
    required: true,
    maxlength: 200,
  });
  const code = h("input", {
    name: "code",
    inputmode: "numeric",
    pattern: "[0-9]{6}",
    autocomplete: "one-time-code",
  });
  const submit = (event) => {
    event.preventDefault();
    enter({ key: key.value.trim(), ...(code.value && { code: code.value }) });
  };
  return h(
    "form",
    { onsubmit: submit },
    h("label", {}, t("session.key"), key),
    h("label", {}, t("session.code"), code),
    h("p", { id: "session-fault", class: "fault", role: "alert" }, fault),
    h("button", { class: "button main" }, t("session.in")),
  );
}

/** Post credentials; with a new session the page begins anew, since layers and counts are others. */
async function enter(credentials) {
  try {
    const opened = await send("POST", "/session", credentials, now.csrf);
    if (opened.full_role === opened.role || credentials.demo) return location.reload();
    goOnAs(opened);
    return fill($("#session-fault"), t("session.second"));
  } catch (error) {
    return fill($("#session-fault"), error.message);
  }
}

/** Go on with a session whose code is still to come: what is sent next is sent in it. Where the dialog is closed
    without the code, the page begins anew with what the session has. */
function goOnAs(opened) {
  now = opened;
  if (now.idle_s) onIdle(now.idle_s, signOut);
  show();
  $("#session").addEventListener("close", () => location.reload(), { once: true });
}

async function signOut() {
  await send("DELETE", "/session", null, now.csrf).catch(() => null); // it may be over already
  location.reload();
}
