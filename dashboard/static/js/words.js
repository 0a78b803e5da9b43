// The page's language: its words, numbers and times. The server chose it; the words come from words/LANGUAGE.json.

import { el } from "./dom.js";

export const language = document.documentElement.lang;
const words = await (await fetch(`/static/words/${language}.json`)).json();
const serverZone = document.querySelector('meta[name="server-zone"]').content;

/** A text by its name, with `{name}` replaced by what is given; `name.one` for a `count` of one, where there is such. */
export function t(name, given = {}) {
  const one = given.count === 1 ? words[`${name}.one`] : undefined;
  const text = one ?? words[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (_, key) => (typeof given[key] === "number" ? number(given[key]) : given[key]));
}

/** Whether there is a text of that name. */
export const known = (name) => name in words;

/** What the server says in a refusal, in the page's language: by its sentence, else by its code; else as it is. */
export function told(code, message) {
  const name = [`told.${message}`, `told.${code}`].find(known);
  return name ? t(name, { message }) : message;
}

const numbers = new Map();

/** A number in the page's language; a dash for one that nobody knows. */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  if (!numbers.has(digits)) {
    numbers.set(digits, new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }));
  }
  return numbers.get(digits).format(value);
}

export const percent = (value) => (value === null || value === undefined ? "–" : `${number(value, 1)} %`);
export const gib = (value) => (value === null || value === undefined ? "–" : `${number(value, 1)} GiB`);

/** Bytes in the largest binary unit that leaves at least one of it. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const step = value > 0 ? Math.min(Math.floor(Math.log2(value) / 10), 4) : 0;
  return `${number(value / 1024 ** step, step ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** How long ago a moment was, in its largest unit. */
export function ago(iso, now = Date.now()) {
  const seconds = Math.round((Date.parse(iso) - now) / 1000);
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS[3];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Seconds as days, hours, minutes: the two largest. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const parts = UNITS.map(([unit, size], place) => {
    const all = place ? seconds % UNITS[place - 1][1] : seconds;
    return [unit, Math.floor(all / size)];
  });
  const some = parts.findIndex(([, count]) => count > 0);
  const first = some < 0 ? parts.length - 1 : some;
  const style = (unit, count) => new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "narrow" }).format(count);
  return parts.slice(first, first + 2).map(([unit, count]) => style(unit, count)).join(" ");
}

const STEPS = { s: "second", m: "minute", h: "hour", d: "day" };

/** The length of a step as the API writes it (`10m`), in words. */
export function lengthOf(step) {
  const unit = STEPS[step.at(-1)];
  if (!unit) return step;
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(Number.parseInt(step, 10));
}

const MOMENT = { dateStyle: "medium", timeStyle: "medium" };
const here = new Intl.DateTimeFormat(language, MOMENT);
const there = new Intl.DateTimeFormat(language, { ...MOMENT, timeZone: serverZone });
/** The viewer's zone, as the pages name it. */
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A moment in the viewer's zone. */
export const moment = (iso) => (iso ? here.format(new Date(iso)) : "–");

/** What to show on hover: the same moment in the server's zone, and in UTC. */
export const elsewhere = (iso) => `${t("time.server")} ${there.format(new Date(iso))} (${serverZone})\nUTC ${iso}`;

/** A moment as an element: the viewer's time, the server's on hover. */
export function time(iso, text = moment(iso)) {
  return iso ? el("time", { datetime: iso, title: elsewhere(iso) }, text) : "–";
}
