// Which part of the past a page shows: a span up to now, or two moments of one's own.

import { el, say } from "./dom.js";
import { watch } from "./loop.js";
import { moment, t } from "./words.js";

const SPANS_S = { "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000 };

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

/** Two moments of one's own; `choose` is called with them once they make a span. */
function own(choose) {
  const [from, to] = ["from", "to"].map((end) => el("input", { type: "datetime-local", "aria-label": t(`range.${end}`) }));
  const press = () => {
    to.setCustomValidity(refused([from.value, to.value]));
    if (!to.reportValidity()) return;
    const [first, last] = [from, to].map((input) => new Date(input.value).toISOString());
    choose({ range: "", from: first, to: last });
  };
  const show = (ends) => ([from.value, to.value] = ends.map(local));
  return { nodes: [from, to, el("button", { type: "button", onclick: press }, t("range.show"))], show };
}

/** The spans up to now, one of which is pressed unless a span of one's own is shown. */
function ready(choose) {
  const press = (range) => choose({ range, from: "", to: "" });
  const buttons = Object.keys(SPANS_S).map((range) =>
    el("button", { type: "button", "data-range": range, onclick: () => press(range) }, t(`range.${range}`)),
  );
  const pressed = (button, now) => !moments(now) && button.dataset.range === named(now.range);
  const show = (now) => buttons.forEach((button) => button.setAttribute("aria-pressed", pressed(button, now)));
  return { nodes: buttons, show };
}

/** The span that is shown, on paper; one up to now goes on with the data. */
function printed() {
  const node = el("p", { class: "paper" });
  let shown = null;
  node.show = (now) => {
    shown = now;
    const [from, to] = span(now).map((at) => moment(new Date(at).toISOString()));
    say(node, t("paper.span", { from, to }));
  };
  watch(({ at }) => at && node.show(shown));
  return node;
}

/** The picker; `choose` is called with what changes in the state. */
export function picker(state, choose) {
  const [spans, ends, paper] = [ready(choose), own(choose), printed()];
  const note = el("p", { class: "instead", role: "status" });
  const node = el("div", { class: "picker", role: "group", "aria-label": t("range") }, ...spans.nodes, ...ends.nodes, note, paper);
  node.show = (now) => {
    spans.show(now);
    ends.show(span(now));
    say(note, instead(now));
    note.hidden = !note.textContent;
    paper.show(now);
  };
  node.show(state);
  return node;
}
