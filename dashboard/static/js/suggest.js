// A search box that offers what fits what is typed: the arrow keys and Enter choose, Escape closes.

import { el, say } from "./dom.js";
import { t } from "./words.js";

const PAUSE_MS = 200;
let boxes = 0;

/** The box; `find(text)` gives items `[{kind, label}]`, `choose` is called with one. */
export function suggest(words, find, choose) {
  const id = `offers-${(boxes += 1)}`;
  const list = el("ul", { id, role: "listbox", "aria-label": words, class: "offers", hidden: true });
  const told = el("span", { class: "told", role: "status" });
  const input = el("input", {
    type: "search", role: "combobox", "data-search": true, autocomplete: "off", maxlength: 255, "aria-label": words, placeholder: words,
    "aria-autocomplete": "list", "aria-controls": id, "aria-expanded": "false", oninput: typed, onkeydown: pressed, onblur: close,
  });
  let items = [];
  let active = -1;
  let timer = null;

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE_MS);
  }

  async function look() {
    clearTimeout(timer);
    const asked = input.value.trim();
    if (!asked) return close();
    const [found, wrong] = await find(asked).then((all) => [all, null], (error) => [[], error]);
    if (asked !== input.value.trim() || document.activeElement !== input) return;
    items = found;
    list.replaceChildren(...items.map(offer));
    list.hidden = items.length === 0;
    input.setAttribute("aria-expanded", items.length > 0);
    say(told, wrong ? wrong.message : items.length ? t("suggest.count", { count: items.length }) : t("suggest.none"));
    mark(-1);
  }

  function offer(item, place) {
    // A press must not take the focus away, which would close the list before the click.
    const attributes = { id: `${id}-${place}`, role: "option", onmousedown: (event) => event.preventDefault(), onclick: () => take(item) };
    return el("li", attributes, el("small", {}, t(`suggest.${item.kind}`)), " ", item.label);
  }

  function mark(place) {
    active = place;
    [...list.children].forEach((node, index) => node.setAttribute("aria-selected", index === place));
    if (place < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", list.children[place].id);
    list.children[place]?.scrollIntoView({ block: "nearest" });
  }

  function pressed(event) {
    if (event.isComposing) return; // Enter ends a syllable
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && items.length) mark((Math.max(active, by < 0 ? 0 : -1) + by + items.length) % items.length);
    else if (event.key === "Enter" && items.length) take(items[Math.max(active, 0)]);
    else if (event.key === "Enter") look();
    else if (event.key === "Escape" && items.length) close();
    else return;
    event.preventDefault();
  }

  function take(item) {
    input.value = "";
    close();
    choose(item);
  }

  function close() {
    clearTimeout(timer);
    items = [];
    list.replaceChildren();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    say(told, "");
  }

  return el("div", { class: "suggest" }, input, list, told);
}
