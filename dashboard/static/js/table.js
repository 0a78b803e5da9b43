// Tables: heads that sort, the order they ask for, rows, and the frame in which a wide one scrolls.

import { el, keyed, say } from "./dom.js";

const ARROWS = { none: "", ascending: " ▲", descending: " ▼" };

/** Names as people order them: web-2 before web-10. */
export const { compare } = new Intl.Collator(undefined, { numeric: true });

// ---- An order: a column's name, with a minus the other way round

const columnOf = (sort) => sort.replace(/^-/, "");

/** The order that an address asks for; the usual one if there is no such column. */
export const orderOf = (sort, columns, usual) => (columns.includes(columnOf(sort)) ? sort : usual);

/** What nobody knows is less than all that is known, as in the API's lists. */
function order(one, other) {
  if (one === null || other === null) return (one !== null) - (other !== null);
  return typeof one === "number" && typeof other === "number" ? one - other : compare(one, other);
}

/** Items of hosts in an order; equal ones by the host's name. `values` tells what a column sorts by, if not by its own. */
export function ordered(items, sort, values = {}) {
  const name = columnOf(sort);
  const turn = sort.startsWith("-") ? -1 : 1;
  const valueOf = values[name] ?? ((item) => item[name] ?? null);
  const keys = new Map(items.map((item) => [item, valueOf(item)]));
  const both = (one, other) => turn * order(keys.get(one), keys.get(other)) || compare(one.host_name, other.host_name);
  return [...items].sort(both);
}

// ---- Heads

/** The order when a column's name is pressed: the other way round, or first the greatest of what is `greatest` first. */
function turned(name, sort, greatest) {
  if (columnOf(sort) === name) return sort === name ? `-${name}` : name;
  return greatest.includes(name) ? `-${name}` : name;
}

/**
 * The row of heads: `words` gives a column's text, those of `sorts` are buttons that call `choose` with an order. `show`
 * tells which columns there are, and their order; what has the focus keeps it.
 */
export function heads(words, choose, { sorts, greatest = [] }) {
  let now = "";
  const row = el("tr");
  function headOf(name) {
    const press = () => choose({ sort: turned(name, now, greatest) });
    const inside = sorts.includes(name) ? el("button", { type: "button", onclick: press }) : words(name);
    return el("th", { scope: "col", class: name }, inside);
  }
  function drawHead(cell, name) {
    if (!sorts.includes(name)) return;
    const direction = { [name]: "ascending", [`-${name}`]: "descending" }[now] ?? "none";
    cell.setAttribute("aria-sort", direction);
    say(cell.firstChild, words(name) + ARROWS[direction]);
  }
  row.show = (columns, sort) => {
    now = sort;
    keyed(row, columns, (name) => name, headOf, drawHead);
  };
  return row;
}

/** The same row where nothing sorts. */
export const titles = (columns, words) => el("tr", {}, ...columns.map((name) => el("th", { scope: "col", class: name }, words(name))));

// ---- Rows, and what is around them

/** A row of empty cells, of which the first is the row's head. */
export function row(columns) {
  const cellOf = (name, place) => (place ? el("td", { class: name }) : el("th", { class: name, scope: "row" }));
  return el("tr", {}, ...columns.map(cellOf));
}

/** A table that scrolls by itself, by the keyboard as well. `named`: its `aria-label`, or `aria-labelledby`. */
export function scrolling(named, head, body, attributes = {}) {
  const table = el("table", attributes, el("thead", {}, head), body);
  return el("div", { class: "scroll", tabindex: 0, role: "region", ...named }, table);
}

/** The same in a section that has that heading already. */
export const within = (id, head, body, attributes) => scrolling({ role: "group", "aria-labelledby": id }, head, body, attributes);
