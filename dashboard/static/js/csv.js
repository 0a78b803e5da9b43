// Downloads what a page shows as CSV: by a request, because a plain link would carry no token.

import { file } from "./api.js";
import { el, say } from "./dom.js";
import { t } from "./words.js";

// A browser may read the blob some time after the click.
const KEPT_MS = 60_000;

function save({ name, body }) {
  const href = URL.createObjectURL(body);
  el("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), KEPT_MS);
}

/** A button that downloads a list, and the line that tells how it went; `asked` gives the list's parameters. */
export function csv(path, asked) {
  const button = el("button", { type: "button", class: "csv", title: t("csv.title"), onclick: press }, t("csv"));
  const note = el("span", { class: "note", role: "status" });
  let busy = false;
  async function press() {
    if (busy) return;
    busy = true;
    button.setAttribute("aria-disabled", true);
    say(note, t("csv.busy"));
    try {
      const found = await file(path, asked(), "text/csv");
      save(found);
      say(note, t("csv.done", { name: found.name }));
    } catch (error) {
      say(note, t("csv.failed", { message: error.message }));
    }
    button.removeAttribute("aria-disabled");
    busy = false;
  }
  return [button, note];
}
