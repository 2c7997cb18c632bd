/** One stream of the service's events for all windows of a browser that are of one session: a browser opens six
    connections to a host over HTTP/1.1, and a stream in each window would leave none for anything else. */

import { get } from "./api.js";
import { session } from "./session.js";

const RETRY_MS = 5_000;
const EVENTS = ["layer", "incident", "responder", "plan", "revision", "alarm"];

/** Call `hear(event, data)` for what the service says; `reset` means that something may have been missed. The window
    that has the lock holds the stream and passes on what comes; where it closes, the next one has the lock. */
export function follow(hear) {
  const leaving = new AbortController();
  const { signal } = leaving;
  addEventListener("pagehide", () => {
    leaving.abort();
    addEventListener("pageshow", () => [hear("reset", {}), follow(hear)], { once: true }); // back out of the browser's cache
  }, { once: true });
  // Browsers have locks where the page came over HTTPS or from this machine; elsewhere each window has its own stream.
  if (!navigator.locks || !window.BroadcastChannel) hold(hear, signal, false);
  else share(hear, signal);
}

async function share(hear, signal) {
  const name = nameOf(session());
  const channel = new BroadcastChannel(name);
  channel.addEventListener("message", ({ data: [event, data] }) => hear(event, data));
  signal.addEventListener("abort", () => channel.close());
  const others = (event, data) => signal.aborted || channel.postMessage([event, data]);
  const all = (event, data) => [others(event, data), hear(event, data)];
  // Who has the lock at once is new, and has missed nothing; whoever else listens may have.
  const isFirst = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await hold(all, signal, false, () => others("reset", {}));
    return Boolean(lock);
  });
  if (!isFirst && !signal.aborted) {
    navigator.locks.request(name, { signal }, () => hold(all, signal, true)).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  }
}

/** What a stream is shared by: what one window of a session may see, no window of another one hears of. */
const nameOf = ({ role, scope, name }) => `safetymap events ${JSON.stringify([role, scope, name])}`;

/** Hold the stream until the page is left; where it was interrupted, or another window had it, all look anew. */
async function hold(pass, signal, isAnew, opened = () => {}) {
  while (!signal.aborted) {
    const state = isAnew ? await whose() : "ours";
    if (state === "ours") await listen(pass, signal, isAnew ? () => pass("reset", {}) : opened);
    if (state === "another's") pass("reset", {}); // what is looked at anew is refused, and says so
    isAnew = true;
    await new Promise((over) => setTimeout(over, RETRY_MS));
  }
}

/** Whether the browser's session is the one of this page still: another window may have signed in or out. */
async function whose() {
  try {
    return nameOf(await get("/session")) === nameOf(session()) ? "ours" : "another's";
  } catch (error) {
    return error.status === 401 ? "another's" : "unknown";
  }
}

/** Pass on what one stream says, until it ends. */
function listen(pass, signal, opened) {
  return new Promise((over) => {
    const stream = new EventSource("/events");
    const end = () => [stream.close(), over()];
    stream.addEventListener("open", opened);
    for (const event of EVENTS) stream.addEventListener(event, ({ data }) => pass(event, JSON.parse(data)));
    stream.addEventListener("reset", () => [pass("reset", {}), end()]);
    stream.addEventListener("error", end); // not left to the browser, which comes again without a word of the gap
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
