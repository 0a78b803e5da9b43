// Which part of the past a page shows: a span up to now, or two moments of one's own.

import { el } from "./dom.js";
import { t } from "./words.js";

export const SPANS_S = { "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "1y": 31_536_000 };

/** The two moments in ms that a state (`range`, or `from` and `to`) means. */
export function span({ range, from, to }) {
  const own = [from, to].map(Date.parse);
  if (own[0] < own[1]) return own;
  const now = Date.now();
  return [now - (SPANS_S[range] ?? SPANS_S["1h"]) * 1000, now];
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
  node.append(...buttons, from, to, el("button", { type: "button", onclick: own }, t("range.show")));
  node.show = (now) => {
    const [first, last] = span(now);
    buttons.forEach((button) => button.setAttribute("aria-pressed", !now.from && button.dataset.range === now.range));
    [from.value, to.value] = [local(first), local(last)];
  };
  node.show(state);
  return node;
}
