/** Follows what others do to the open plan: sent back, approved, published, or drawn on elsewhere. */

import { t } from "./i18n.js";
import { catchUp, isRefusal, open } from "./plan-store.js";
import { inTurn } from "./plan-tools.js";
import { session } from "./session.js";
import { follow } from "./stream.js";
import { toast } from "./toast.js";

const GATHER_MS = 500;
const RETRY_MS = 5_000;

let waiting = 0;

/** Follow the service's stream of events, where one may see plans. */
export function followPlans() {
  if (session().role === "public" || session().role === "field") return;
  follow((event) => ["plan", "revision", "reset"].includes(event) && look());
}

/** Many changes in a moment are one look; our own are known already by then. */
function look() {
  waiting ||= setTimeout(async () => {
    waiting = 0;
    if (await inTurn(caughtUp)) toast(t("plan.followed", { state: t(`state.${open.plan.state}`) }), "note");
  }, GATHER_MS);
}

/** Look whether others changed the plan; where the service did not answer, look again after a while. */
async function caughtUp() {
  try {
    return await catchUp();
  } catch (error) {
    if (!isRefusal(error)) setTimeout(look, RETRY_MS);
    throw error;
  }
}
