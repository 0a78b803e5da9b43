// Dialogs over a page; closed, one is gone with all that it showed.

import { el } from "./dom.js";

let made = 0;

/** A dialog, opened, with its title. */
export function dialog(title, ...children) {
  const heading = el("h2", { id: `dialog-${(made += 1)}` }, title);
  const node = el("dialog", { "aria-labelledby": heading.id, onclose: () => node.remove() }, heading, ...children);
  document.body.append(node);
  node.showModal();
  return node;
}

/** A button that closes the dialog around it. */
export function closer(words, attributes = {}) {
  return el("button", { type: "button", ...attributes, onclick: (event) => event.target.closest("dialog").close() }, words);
}
