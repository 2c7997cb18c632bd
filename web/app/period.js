/** The period: presets, two dates, and a slider that moves it through time week by week. */

import { $, fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { change, onChange, state } from "./state.js";
import { toast } from "./toast.js";

const DAY = 86_400_000;
const PRESETS = ["7", "30", "90", "365", "all"];
const STEP_MS = 1600;

let first;
let last;
let records;
let playing = null;

/** Offer the days between the city's first and last incident in use; begin with its last 30. */
export function period({ incidents, timezone }) {
  const day = (name) => localDay(incidents[name], timezone);
  [first, last] = [day("first"), day("last")];
  records = { first, last, earliest: day("earliest"), count: incidents.earlier };
  if (!first) return;
  if (!valid(state.from, state.to)) change(ending(last, 30));
  for (const name of ["from", "to"]) {
    $(`#${name}`).min = records.earliest;
    $(`#${name}`).max = last;
    $(`#${name}`).addEventListener("change", takeDates);
  }
  $("#slider").addEventListener("input", (event) => change(moved(Number(event.target.value))));
  $("#play").addEventListener("click", togglePlay);
  onChange(show);
  show();
}

/** What the service is asked: half-open days, so the last one is included. */
export const asked = () => ({
  from: state.from,
  to: state.to && addDays(state.to, 1),
  category: state.category,
});

/** How many days each of so many equal steps has that lie in the records before the period's end; 28 at most. */
export function stepDays(steps) {
  if (!first || !state.to) return 28;
  return Math.min(28, Math.max(1, Math.floor((number(state.to) - number(first) + 1) / steps)));
}

/** The day of a moment in a time zone, as YYYY-MM-DD; empty where there is no moment. */
function localDay(moment, timeZone) {
  if (!moment) return "";
  return new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short" }).format(new Date(moment));
}

const number = (day) => Date.parse(`${day}T00:00:00Z`) / DAY;
const addDays = (day, days) => new Date((number(day) + days) * DAY).toISOString().slice(0, 10);
const valid = (from, to) => Boolean(from) && Boolean(to) && number(from) <= number(to);
const length = () => number(state.to) - number(state.from) + 1;

function ending(day, days) {
  const from = addDays(day, 1 - days);
  return { from: from < first ? first : from, to: day };
}

function preset(name) {
  stop();
  change(daysOf(name));
}

function takeDates() {
  const wishes = { from: $("#from").value, to: $("#to").value };
  stop();
  if (valid(wishes.from, wishes.to)) return change(wishes);
  toast(t("period.wrong"));
  return show();
}

/** How many weeks the period can lie before its last place. */
const weeks = () => Math.max(0, Math.floor((number(last) - number(first) + 1 - length()) / 7));

function moved(week) {
  const days = length();
  const to = addDays(last, -7 * (weeks() - week));
  return { from: addDays(to, 1 - days), to };
}

function togglePlay() {
  if (playing) return stop();
  playing = setInterval(step, STEP_MS);
  if (Number($("#slider").value) >= weeks()) change(moved(0));
  return show();
}

function step() {
  const next = Number($("#slider").value) + 1;
  if (next > weeks()) return stop();
  return change(moved(next));
}

function stop() {
  clearInterval(playing);
  playing = null;
  show();
}

function show() {
  $("#from").value = state.from;
  $("#to").value = state.to;
  $("#slider").max = weeks();
  $("#slider").value = weeks() - Math.round((number(last) - number(state.to)) / 7);
  $("#slider").setAttribute("aria-valuetext", `${state.from} – ${state.to}`);
  $("#play").disabled = weeks() === 0;
  fill($("#play"), icon(playing ? "pause" : "play"));
  $("#play").title = t(playing ? "period.stop" : "period.play");
  $("#play").setAttribute("aria-label", $("#play").title);
  fill($("#presets"), PRESETS.map(presetButton));
  $("#span").textContent = t("period.span", records) + (records.count ? t("period.earlier", records) : "");
}

/** The days of a preset; where several are the same days, the first is shown as chosen. */
const daysOf = (name) => (name === "all" ? { from: first, to: last } : ending(last, Number(name)));

function presetButton(name) {
  const current = PRESETS.find((one) => daysOf(one).from === state.from && daysOf(one).to === state.to);
  return h(
    "button",
    { type: "button", "aria-pressed": String(name === current), onclick: () => preset(name) },
    t(`period.${name}`),
  );
}
