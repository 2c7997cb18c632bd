/** What the page is showing: kept in the address so that a view can be shared, and told to whoever listens. */

const listeners = [];
const remembered = ["lang", "theme"];

/** The wishes of the user; dates are whole days in the city's zone, `to` included. */
export const state = { lang: "zh", theme: "light", from: "", to: "", category: "", hidden: null, at: "", show: "hotspots", scheme: "", on: "", known: "" };

const usual = { ...state };
/** Whose change is a step that Back takes back; others replace the address. */
const steps = ["at"];

/** Call `listen(changed)` with the set of changed names after each change. */
export const onChange = (listen) => listeners.push(listen);

/** Change some wishes, note them in the address, tell the listeners. */
export function change(wishes) {
  const changed = new Set(Object.keys(wishes).filter((name) => state[name] !== wishes[name]));
  if (!changed.size) return;
  Object.assign(state, wishes);
  write(steps.some((name) => changed.has(name)));
  for (const listen of listeners) listen(changed);
}

/** Back, Forward, another address typed in: show what the address says now. */
addEventListener("popstate", () => {
  const before = { ...state };
  Object.assign(state, usual);
  read();
  const changed = new Set(Object.keys(state).filter((name) => state[name] !== before[name]));
  if (changed.size) for (const listen of listeners) listen(changed);
});

/** Take the wishes of the address, else of the last visit, else of the browser. */
export function read() {
  const hash = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(state)) {
    const value = hash.get(name) ?? (remembered.includes(name) ? recall(name) : null);
    if (value !== null) state[name] = value;
  }
  state.lang = ["zh", "en"].includes(state.lang) && known("lang", hash) ? state.lang : browserLanguage();
  if (!known("theme", hash))
    state.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  if (!["light", "dark", "safe"].includes(state.theme)) state.theme = "light";
}

const known = (name, hash) => hash.has(name) || recall(name) !== null;
const browserLanguage = () => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The map writes `map=zoom/lat/lon` into the same hash, so only our own names are replaced. */
function write(step) {
  const hash = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(state)) {
    if (value === "" || value === null) hash.delete(name);
    else hash.set(name, value);
  }
  // The map's own part stays as it writes it, with plain slashes.
  const note = step ? "pushState" : "replaceState";
  history[note](history.state, "", `#${decodeURIComponent(hash.toString())}`);
  for (const name of remembered) keep(name, state[name]);
}

function keep(name, value) {
  try {
    localStorage.setItem(`safetymap.${name}`, value);
  } catch {
    // Storage may be forbidden; the address still carries the wish.
  }
}

function recall(name) {
  try {
    return localStorage.getItem(`safetymap.${name}`);
  } catch {
    return null;
  }
}
