/** Refusals of the service in the reader's language, with the names of grids for their codes. */

import { language, t } from "./i18n.js";
import { named } from "./plan-store.js";

/** What the service says, and the words that say the same here; {1} and on are what its brackets hold. */
const KNOWN = [
  [/does not divide grid (\S+);/, "refused.divides"],
  [/not of one level/, "refused.levels"],
  [/nothing in it belongs to another grid than (\S+)/, "refused.nothing"],
  [/grid (\S+) has grids below it/, "refused.lowest"],
  [/lies on the outer border of the plan/, "refused.outer"],
  [/border would cross or touch/, "refused.crosses"],
  [/must begin and end on the border between the two grids/, "refused.ends"],
  [/it leaves the two grids/, "refused.leaves"],
  [/different stretches of the border/, "refused.stretches"],
  [/is not a valid polygon/, "refused.polygon"],
  [/runs too close/, "refused.close"],
  [/crosses or touches itself/, "refused.itself"],
  [/it has no length/, "refused.short"],
  [/the step changes nothing/, "refused.same"],
  [/code \S+ has been used before/, "refused.code"],
  [/it shows the draft as it is/, "refused.file_same"],
  [/it needs polygons and a column/, "refused.file_columns"],
  [/that they had a hand in/, "refused.hand"],
  [/has moved on to step (\d+)/, "refused.moved"],
  [/would now change (.+?) otherwise/, "refused.seen"],
  [/this needs it to be/, "refused.state"],
  [/^(\d+) errors: /, "refused.errors"],
  [/grid (\S+) would lose all its ground/, "refused.emptied"],
  [/grid (\S+) would have no grid left below it/, "refused.childless"],
  [/leave a gap or an overlap near ([\d., -]+);/, "refused.gap"],
  [/grid (\S+) would change by (\S+) m²/, "refused.unexplained"],
  [/has an owner outside the scope: (.+?); leave/, "refused.outside"],
  [/(\S+) is decided together with another grid/, "refused.together"],
  [/changes nothing yet/, "refused.empty_plan"],
  [/all grids of (\S+) lie on one side/, "refused.side"],
  [/it cuts grids (.+?); split those/, "refused.cuts"],
  [/others changed (.+?) since the plan was drawn/, "refused.conflicts"],
  [/the map that holds from (\S+) on, published already, has (.+?) otherwise/, "refused.later"],
  [/ranges? of households must not be empty/, "refused.range"],
];

/** The error with words that its reader understands; what is not known stays as the service says it. */
export function worded(error) {
  const text = error?.message ?? "";
  const known = language() === "zh" && KNOWN.map(([form, key]) => [form.exec(text), key]).find(([found]) => found);
  if (error instanceof Error) error.message = named(known ? t(known[1], { ...known[0] }) : text);
  return error;
}
