// Which part of the past a page shows: a span up to now, or two moments of one's own.

import { watch } from "./api.js";
import { el, say } from "./dom.js";
import { moment, t } from "./words.js";

export const SPANS_S = { "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000 };

// Browsers make a moment of many a word; an address has ISO 8601.
const ISO = /^\d{4}-\d\d-\d\d([T ].*)?$/;
const parsed = (text) => (ISO.test(text) ? Date.parse(text) : NaN);
const named = (range) => (Object.hasOwn(SPANS_S, range) ? range : "1h");

/** The two moments of its own that a state names (`from` and `to`); null if there are none that make a span. */
export function moments({ from, to }) {
  const ends = [from, to].map(parsed);
  return ends[0] < ends[1] ? ends : null;
}

/** The two moments in ms that a state means: its own, or those of its `range` up to now. */
export function span(state) {
  const now = Date.now();
  return moments(state) ?? [now - SPANS_S[named(state.range)] * 1000, now];
}

/** Why another span is shown than the address names, and which; an empty text if it is the same. */
function instead(state) {
  const { range, from, to } = state;
  if (moments(state)) return "";
  const wrong = from || to ? ([from, to].map(parsed).some(Number.isNaN) ? "moments" : "order") : range !== named(range) && "range";
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
    const wrong = !from.value || !to.value || from.value >= to.value;
    to.setCustomValidity(wrong ? t("range.wrong") : "");
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
  watch(print); // a span up to now goes on with the data
  return node;
}
