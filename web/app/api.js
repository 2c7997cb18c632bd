/** Asks the service; a refusal becomes an error whose text a person can act on. */

import { t } from "./i18n.js";
import { inWords } from "./refusals.js";

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** GET `path` with `query` (empty values are left out) and give its JSON; throws Refused. */
export async function get(path, query = {}, signal = undefined) {
  const wanted = Object.entries(query).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  const search = new URLSearchParams(wanted).toString();
  return told(await reach(search ? `${path}?${search}` : path, { signal }));
}

/** Send `body` as JSON with a method that writes; `csrf` is the session's token. Gives the answer's JSON, if any. */
export async function send(method, path, body, csrf) {
  const headers = { "Content-Type": "application/json", ...(csrf && { "X-CSRF-Token": csrf }) };
  return told(await reach(path, { method, headers, body: body && JSON.stringify(body) }));
}

async function told(answer) {
  if (!answer.ok) throw refusal(answer.status, (await answer.json().catch(() => ({}))).detail);
  return answer.status === 204 ? null : answer.json();
}

async function reach(url, options) {
  try {
    return await fetch(url, { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(t("error.unreachable"), 0);
  }
}

/** What the detail of a problem document says, in the reader's language, else the bare status. Where something is
    forbidden, the session may be another than the page knows of: it is told to look. */
export function refusal(status, detail) {
  if (status === 403) dispatchEvent(new Event("session-doubted"));
  if (/X-CSRF-Token is missing or wrong/.test(detail)) return new Refused(t("refusal.stale"), status);
  return new Refused(detail ? inWords(detail) : t("error.status", { status }), status);
}
