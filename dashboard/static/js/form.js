// Forms: what is typed, what the server says to it, and what is there to be copied.

import { el, say } from "./dom.js";
import { moment, t } from "./words.js";

let hints = 0;

/** What a Refusal says to somebody who waits for it, with when to try again if it tells. */
export function refusal(error) {
  if (error.status === 0 || error.code === "COMMIT_UNKNOWN") return t("form.unknown");
  if (!error.after) return error.message;
  return t("form.later", { message: error.message, time: moment(new Date(Date.now() + error.after * 1000).toISOString()) });
}

/** A field below its name. */
export function field(name, input, hint) {
  const below = hint && el("small", { id: `hint-${(hints += 1)}` }, hint);
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

/** Copies what a node says; on a page without TLS browsers give nothing but the old way. */
async function copy(node) {
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
  const button = el("button", { type: "button", onclick: press, "aria-label": `${t("copy")}: ${words}` }, t("copy"));
  return el("div", {}, node, el("div", { class: "tools" }, button, done));
}
