// Pages of a list by the API's cursors: the next one is in its Link header, the one before is remembered by this tab.

import { cursor } from "./api.js";
import { el } from "./dom.js";
import { t } from "./words.js";

const STORE = "cursors-before";
const MOST = 500;
/** What a page's state says of the first page. */
export const FIRST = { cursor: "", page: "1" };

const before = new Map(JSON.parse(sessionStorage.getItem(STORE) ?? "[]"));

function remember(cursor, previous) {
  before.set(cursor, previous);
  sessionStorage.setItem(STORE, JSON.stringify([...before].slice(-MOST)));
}

/** How many of the list come before this page, if all pages are as long. */
export const skipped = (now) => (Math.max(Math.trunc(Number(now.page)) || 1, 1) - 1) * Number(now.limit);

/** The buttons; `choose` is called with what changes in the state, `words` names their texts. `show` tells of a page. */
export function pager(choose, words) {
  let now = FIRST;
  let next = null;
  const turn = (name, go) => {
    // Disabled in words alone: what has the focus keeps it.
    const press = () => button.getAttribute("aria-disabled") === "true" || go();
    const button = el("button", { type: "button", "data-turn": name, "aria-disabled": "true", onclick: press }, t(`${words}.${name}`));
    return button;
  };
  const at = () => Number(now.page) || 1;
  const first = turn("first", () => choose(FIRST));
  const previous = turn("previous", () => choose({ cursor: before.get(now.cursor), page: `${at() - 1}` }));
  const forward = turn("next", () => {
    remember(next, now.cursor);
    choose({ cursor: next, page: `${at() + 1}` });
  });
  const node = el("nav", { class: "pager", "aria-label": t("pager") }, first, previous, forward);
  node.show = (state, headers) => {
    now = state;
    next = cursor(headers);
    first.setAttribute("aria-disabled", !now.cursor);
    previous.setAttribute("aria-disabled", !before.has(now.cursor));
    forward.setAttribute("aria-disabled", !next);
    node.hidden = !now.cursor && !next;
  };
  return node;
}
