// Which part of the past a page shows: a span up to now, or two moments of one's own.

import { watch } from "./api.js";
import { el, say } from "./dom.js";
import { moment, t } from "./words.js";

export const SPANS_S = { "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000 };

// Browsers make a moment of many a word; an address has ISO 8601.
const ISO = /^\d{4}-\d\d-\d\d([T ].*)?$/;
const parsed = (text) => (ISO.test(text) ? Date.parse(text) : NaN);
const named = (range) => (Object.hasOwn(SPANS_S, range) ? range : "1h");

// The moments that the API takes.
const FIRST = Date.UTC(1970, 0, 2);
const LAST = Date.UTC(2200, 0, 1) - 1;

/** Why two moments make no span: one is none, or of a year that is none here, or they are in no order; else an empty text. */
function fault(ends) {
  if (ends.some(Number.isNaN)) return "moments";
  if (ends.some((at) => at < FIRST || at > LAST)) return "years";
  return ends[0] < ends[1] ? "" : "order";
}

/** What is said of the two moments that are in the inputs; a year too long for a moment is none of ours either. */
function refused(texts) {
  const why = texts.every(Boolean) ? fault(texts.map((text) => Date.parse(text))) : "order";
  if (!why) return "";
  return t(why === "order" ? "range.wrong" : "range.wrong.years");
}

/** The two moments of its own that a state names (`from` and `to`); null if there are none that make a span. */
export function moments({ from, to }) {
  const ends = [from, to].map(parsed);
  return fault(ends) ? null : ends;
}

/** The two moments in ms that a state means: its own, or those of its `range` up to now. */
export function span(state) {
  const now = Date.now();
  return moments(state) ?? [now - SPANS_S[named(state.range)] * 1000, now];
}

/** Why another span is shown than the address names, and which; an empty text if it is the same. */
function instead(state) {
  const { range, from, to } = state;
  const wrong = from || to ? fault([from, to].map(parsed)) : range !== named(range) && "range";
  return wrong ? `${t(`range.wrong.${wrong}`)} ${t("range.instead", { range: t(`range.${named(range)}`) })}` : "";
}

/** A moment as an input of the browser takes it: in the viewer's zone, without its name. */
function local(at) {
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The picker; `choose` is called with what changes in the state. */
export function picker(state, choose) {
  const node = el("div", { class: "picker", role: "group", "aria-label": t("range") });
  const from = el("input", { type: "datetime-local", "aria-label": t("range.from") });
  const to = el("input", { type: "datetime-local", "aria-label": t("range.to") });
  const own = () => {
    to.setCustomValidity(refused([from.value, to.value]));
    if (!to.reportValidity()) return;
    choose({ range: "", from: new Date(from.value).toISOString(), to: new Date(to.value).toISOString() });
  };
  const buttons = Object.keys(SPANS_S).map((range) =>
    el("button", { type: "button", "data-range": range, onclick: () => choose({ range, from: "", to: "" }) }, t(`range.${range}`)),
  );
  const note = el("p", { class: "instead", role: "status" });
  const printed = el("p", { class: "paper" });
  node.append(...buttons, from, to, el("button", { type: "button", onclick: own }, t("range.show")), note, printed);
  let shown = state;
  const print = () => {
    const [first, last] = span(shown).map((at) => moment(new Date(at).toISOString()));
    say(printed, t("paper.span", { from: first, to: last }));
  };
  node.show = (now) => {
    shown = now;
    const [first, last] = span(now);
    buttons.forEach((button) => button.setAttribute("aria-pressed", !moments(now) && button.dataset.range === named(now.range)));
    [from.value, to.value] = [local(first), local(last)];
    say(note, instead(now));
    note.hidden = !note.textContent;
    print();
  };
  node.show(state);
  watch(({ at }) => at && print()); // a span up to now goes on with the data
  return node;
}
