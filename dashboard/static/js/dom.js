// Builds elements. Whatever a text says is a text node: no name of a host or container is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element with attributes, listeners (`onclick`) and children; null and false leave an attribute out. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Writes a text only where it is another one: a screen reader and the layout are left in peace. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of a node those of some items, in their order. Nodes are kept by key, so that focus and scroll
 * stay; `update` is called for each. Items of equal key are told apart by their order.
 */
export function keyed(parent, items, keyOf, make, update) {
  const before = parent.kept ?? new Map();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const kept = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    let key = keyOf(item);
    while (kept.has(key)) key = `${key}\n`;
    const node = before.get(key) ?? make(item);
    update(node, item);
    kept.set(key, node);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [key, node] of before) if (!kept.has(key)) node.remove();
  parent.kept = kept;
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

/** Names and what is said of them, for a `dl`. */
export const pairs = (all, named, said) => all.map(([name, what]) => el("div", {}, el("dt", {}, named(name)), el("dd", {}, said(what))));
