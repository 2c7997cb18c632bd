/** Follows what others do to the open plan: sent back, approved, published, or drawn on elsewhere. */

import { t } from "./i18n.js";
import { catchUp, open } from "./plan-store.js";
import { inTurn } from "./plan-tools.js";
import { session } from "./session.js";
import { toast } from "./toast.js";

const GATHER_MS = 500;
const RETRY_MS = 5_000;

let waiting = 0;

/** Listen to the service's stream of events, where one may see plans. */
export function followPlans() {
  if (session().role === "public" || session().role === "field") return;
  const stream = new EventSource("/events");
  for (const of of ["plan", "revision"]) stream.addEventListener(of, look);
  stream.addEventListener("reset", () => startAnew(stream));
  stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && startAnew(stream));
  addEventListener("pagehide", () => stream.close());
}

function startAnew(stream) {
  stream.close();
  look();
  setTimeout(followPlans, RETRY_MS);
}

/** Many changes in a moment are one look; our own are known already by then. */
function look() {
  waiting ||= setTimeout(async () => {
    waiting = 0;
    if (await inTurn(catchUp)) toast(t("plan.followed", { state: t(`state.${open.plan.state}`) }), "note");
  }, GATHER_MS);
}
