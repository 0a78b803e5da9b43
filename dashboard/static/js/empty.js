// What a page says where nothing has been reported yet: how to start an agent, and where its token comes from.

import { securityMode } from "./api.js";
import { el, say } from "./dom.js";
import { t } from "./words.js";

const COMMAND = `python -m agent --server ${location.origin}`;

/** The part of a page, which is hidden until `show(true)`; the name is that of its text. */
export function empty(name) {
  const command = el("pre", { tabindex: 0 }, COMMAND);
  const link = el("a", { href: "/agents#tokens-title" }, t("tokens.new"));
  const hint = el("p", { hidden: true }, t("empty.token"), " ", link);
  const node = el("div", { class: "empty", hidden: true }, el("p", {}, t(name)), command, hint);
  node.show = async (shown) => {
    node.hidden = !shown;
    if (!shown || !hint.hidden || (await securityMode()) !== "enforce") return;
    say(command, `AGENT_TOKEN=rms_… ${COMMAND}`);
    hint.hidden = false;
  };
  return node;
}
