/** What the service refuses a question of statistics for, or its asker, in the reader's language. */

import { t } from "./i18n.js";

/** What the service says, and the words that say the same here; {1} and on are what its brackets hold, and
 * {role}, {own} the names of roles. */
const KNOWN = [
  [/records begin on (\S+); ask for a period/, "refusal.before"],
  [/records end on (\S+); ask for a period/, "refusal.after"],
  [/no record was kept on any day of this period/, "refusal.unrecorded"],
  [/must be later than from;/, "refusal.reversed"],
  [/ lies outside the years (\d+) to (\d+)/, "refusal.years"],
  [/is no date or RFC 3339 time/, "refusal.date"],
  [/records hold (\d+) whole days before this; (\d+) are needed/, "refusal.days"],
  [/records hold (\d+) weeks before this one; (\d+) are needed/, "refusal.weeks"],
  [/records hold (\d+) of the (\d+) steps of (\d+) days; (\d+) are needed/, "refusal.steps"],
  [/no incident to learn from in this view/, "refusal.nothing"],
  [/only (\S+) recorded anything of this, which is not learned from/, "refusal.leftout"],
  [/([\d,]+) incidents are more than ([\d,]+); ask for/, "refusal.many"],
  [/paused from (\S+) to (\S+), do not hold all of this period/, "refusal.paused"],
  [/(\S+) paused until (\S+), within/, "refusal.paused.category"],
  [/of (\S+) there are no records (\S+|from the first day) to (\S+|this day), within/, "refusal.silentarea"],
  [/do not hold all of this period and one of equal length before it/, "refusal.noperiod"],
  [/(\S+) came into use or ended on (\S+), within/, "refusal.newcomer"],
  [/say where and since when the measure was/, "refusal.measure"],
  [/control: must be another grid that lies outside the area/, "refusal.control"],
  [/area, control and ring must lie inside your scope/, "refusal.scope"],
  [/there is no grid of level (\d+)/, "refusal.level"],
  [/there is no grid of \S+ to be seen here yet/, "refusal.nogrids"],
  [/there is no grid (\S+)/, "refusal.grid"],
  [/(\S+) does not lie inside your scope, (\S+);/, "refusal.outside"],
  [/grid: (\S+) did not rise above its past/, "refusal.letter"],
  [/no formula of the stability index is in force on (\S+);/, "refusal.formula"],
  [/the last week that is over and reported began on (\S+)/, "refusal.week"],
  [/week: records begin on (\S+)/, "refusal.weekbefore"],
  [/until: must lie in the future, by (\d+) days at most/, "refusal.until"],
  [/there is no (?:alarm|letter) (\d+)/, "refusal.gone"],
  [/nobody recorded (.+); of a week with such days/, "refusal.gapweek"],
  [/alarms are judged for the whole city/, "refusal.whole"],
  [/^(.+) silenced this alarm until (\S+);/, "refusal.silenced"],
  [/much is being worked out for others/, "refusal.busy"],
  [/this is for role (?<role>\w+) and above; send an access key/, "refusal.nobody"],
  [/this is for role (?<role>\w+) and above; the key is of role (?<own>\w+)/, "refusal.role"],
  [/needs the second factor of role (?<own>\w+);/, "refusal.factor"],
  [/exporting is a right of its own/, "refusal.export"],
  [/the key is unknown, revoked or expired/, "refusal.key"],
  [/the code is wrong, late or was used already/, "refusal.code"],
  [/demo's log-ins open with a link/, "refusal.demo"],
  [/link is of an earlier start or was used already/, "refusal.demolink"],
  [/too many log-ins failed .*; wait (\d+) s/, "refusal.failed.s"],
  [/too many log-ins failed .*; wait (\d+) min/, "refusal.failed.min"],
  [/too many requests; wait (\d+) s/, "refusal.requests"],
  [/another site may not write here/, "refusal.site"],
];

/** The same refusal as its reader understands it, in English without the parameter's name; what is not known stays
 * as the service says it. */
export function inWords(text) {
  const [found, key] = KNOWN.map(([form, name]) => [form.exec(text), name]).find(([match]) => match) ?? [];
  const roles = Object.entries(found?.groups ?? {}).map(([name, role]) => [name, t(`role.${role}`)]);
  return found ? t(key, { ...found, ...Object.fromEntries(roles) }) : text;
}
