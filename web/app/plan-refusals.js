/** Refusals of the service in the reader's language, with the names of grids for their codes. */

import { t } from "./i18n.js";
import { nameOf, named } from "./plan-store.js";

/** What the service says, and the words that say the same here; {1} and on are what its brackets hold. */
const KNOWN = [
  [/does not divide grid (\S+);/, "refused.divides"],
  [/not of one level/, "refused.levels"],
  [/nothing in it belongs to another grid than (\S+)/, "refused.nothing"],
  [/grid (\S+) has grids below it/, "refused.lowest"],
  [/outer border of the plan/, "refused.outer"],
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
  [/has moved on to its base/, "refused.based"],
  [/others published since \(revision (\d+)\)/, "refused.overtaken"],
  [/would now change (.+?) otherwise/, "refused.seen"],
  [/this needs it to be/, "refused.state"],
  [/^(\d+) errors: /, "refused.errors"],
  [/grid (\S+) would lose all its ground/, "refused.emptied"],
  [/grid (\S+) would have no grid left below it/, "refused.childless"],
  [/leave a gap or an overlap near ([\d., -]+);/, "refused.gap"],
  [/grid (\S+) would change by (\S+) m²/, "refused.unexplained"],
  [/has an owner outside the scope: (.+?); leave/, "refused.outside"],
  [/(\S+) is decided together with (.+?) \(see `with`\)/, "refused.together"],
  [/changes nothing yet/, "refused.empty_plan"],
  [/all grids of (\S+) lie on one side/, "refused.side"],
  [/it cuts grids (.+?); split those/, "refused.cuts"],
  [/others changed (.+?) since the plan was drawn/, "refused.conflicts"],
  [/the map that holds from (\S+) on, published already, has (.+?) otherwise/, "refused.later"],
  [/ranges? of households must not be empty/, "refused.range"],
  [/must not be less than low/, "refused.range"],
  [/there is no vertex within 5 m/, "refused.vertex"],
  [/has an owner, or lies outside the scope/, "refused.owned"],
  [/line: (.+?) contest ground there;/, "refused.contested"],
  [/border of (.+) would cross or touch itself/, "refused.knot"],
  [/part of grid (\S+) would change sides/, "refused.apart"],
  [/it meets borders in more than (\d+) places/, "refused.long"],
  [/(\S+) is not of the level above (\S+)$/, "refused.parent"],
  [/there is no proposal (\d+)/, "refused.proposal"],
  [/(\d+) buildings stand there, (\d+) of them where ground may pass; name a grid with (\d+)/, "refused.many"],
  [/it has (\d+) buildings, more than (\d+); split it first/, "refused.crowded"],
  [/every grid there stays as it is/, "refused.locked"],
  [/code (\S+) was given elsewhere meanwhile/, "refused.taken"],
  [/nothing is left of plan \d+ to publish/, "refused.void"],
  [/only the author may withdraw a plan/, "refused.author"],
  [/it is not known which map was seen/, "refused.unseen"],
  [/the map of (\S+) is published; take theirs/, "refused.published"],
  [/grid (\S+) is not in conflict/, "refused.decided"],
  [/nothing is left to (?:undo|do again)|can be done again/, "refused.end"],
  [/it holds no grids/, "refused.file_empty"],
  [/its suffix is none of (.+)$/, "refused.file_suffix"],
  [/a statement of the publication took longer than (\S+) s/, "refused.slow"],
  [/grid (\S+) of scheme \S+ has no boundary on (\S+)/, "refused.noscope"],
  [/outside of the key's scope; plan inside it/, "refused.scope"],
  [/there is no plan (\d+), or it lies outside/, "refused.noplan"],
  [/there is no grid '?([^'\s]+)'? in this draft/, "refused.nogrid"],
  [/Input should be greater than (?:or equal to )?(\S+)/, "refused.least"],
  [/Input should be less than (?:or equal to )?(\S+)/, "refused.most"],
];

/** What the service says in words that a reader of the page understands; what is not known stays as it is. */
export function inPlanWords(text) {
  const known = KNOWN.map(([form, key]) => [form.exec(text), key]).filter(([found]) => found);
  const inNames = (found) => ({ ...found.map((part) => part && named(part)) });
  return known.map(([found, key]) => t(key, inNames(found))).join(t("list.then")) || named(text);
}

/** The error in such words; what the page itself refuses, without a status, is in them already. */
export function worded(error) {
  if (error?.status) error.message = inPlanWords(error.message);
  return error;
}

/** What of a plan's faults stands in the way of publishing it, in words; empty where nothing does. */
export function obstacle({ new_errors: errors, against }) {
  if (errors) return t("faults.stop", { count: errors });
  if (!against || against.final) return "";
  return against.why ? inPlanWords(against.why) : t("faults.undecided", { names: against.conflicts.map(nameOf).join(t("list.and")) });
}
