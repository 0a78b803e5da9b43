// Forms and dialogs: what is typed, what is asked before something is done, and what the server says to it.

import { el, say } from "./dom.js";
import { moment, t } from "./words.js";

let made = 0;
const id = (kind) => `${kind}-${(made += 1)}`;

/** What a Refusal says to somebody who waits for it, with when to try again if it tells. */
export function refusal(error) {
  if (error.status === 0 || error.code === "COMMIT_UNKNOWN") return t("form.unknown");
  if (!error.after) return error.message;
  return t("form.later", { message: error.message, time: moment(new Date(Date.now() + error.after * 1000).toISOString()) });
}

/** A field below its name. */
export function field(name, input, hint) {
  const below = hint && el("small", { id: id("hint") }, hint);
  if (below) input.setAttribute("aria-describedby", below.id);
  return el("div", { class: "entry" }, el("label", {}, name, input), below);
}

/** A form that does some work once it is sent; what the server refuses is said in it, and what was typed stays. */
export function form(work, go, fields, ...others) {
  const wrong = el("p", { class: "wrong", role: "alert" });
  let busy = false;
  async function send(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    say(wrong, "");
    try {
      await work();
    } catch (error) {
      say(wrong, refusal(error));
    } finally {
      busy = false;
    }
  }
  // What is typed must not come into an address, whatever becomes of the listener.
  return el("form", { method: "post", onsubmit: send }, ...fields, wrong, el("div", { class: "tools" }, el("button", {}, go), ...others));
}

/** A dialog over the page; closed, it is gone with all that it showed. */
export function dialog(title, ...children) {
  const heading = el("h2", { id: id("dialog") }, title);
  const node = el("dialog", { "aria-labelledby": heading.id, onclose: () => node.remove() }, heading, ...children);
  document.body.append(node);
  node.showModal();
  return node;
}

/** A button that closes the dialog around it. */
export function closer(words, attributes = {}) {
  return el("button", { type: "button", ...attributes, onclick: (event) => event.target.closest("dialog").close() }, words);
}

/** Copies what a node says; on a page without TLS browsers give nothing but the old way. */
export async function copy(node) {
  const text = node.textContent;
  const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  if (done) return true;
  getSelection().selectAllChildren(node);
  return document.execCommand("copy");
}

/** A text that is there to be copied, with the button that does it; `words` says what it is. */
export function copied(text, words) {
  const node = el("pre", { tabindex: 0, role: "group", "aria-label": words }, text);
  const done = el("span", { role: "status" });
  const press = async () => say(done, (await copy(node)) ? t("copied") : t("copied.not"));
  return el("div", {}, node, el("div", { class: "tools" }, el("button", { type: "button", onclick: press, "aria-label": `${t("copy")}: ${words}` }, t("copy")), done));
}
