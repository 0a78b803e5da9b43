// The last reports that were refused for what they are: why, what was in them, and storing one after all.

import { ask, get } from "./api.js";
import { closer, dialog } from "./dialog.js";
import { el, keyed, say } from "./dom.js";
import { copied, refusal } from "./form.js";
import { row, titles, within } from "./table.js";
import { bytes, elsewhere, moment, t, told } from "./words.js";

const COLUMNS = [
  ["received_at", (one) => moment(one.received_at)],
  ["host_name", (one) => one.host_name ?? t("unknown")],
  ["does", null],
  ["code", (one) => one.code],
  ["message", (one) => told(one.code, one.message)],
  ["size", (one) => bytes(one.size)],
  ["replayed_at", (one) => (one.replayed_at ? `✓ ${moment(one.replayed_at)}` : "–")],
];
const NAMES = COLUMNS.map(([name]) => name);
const MORE = [
  ["path", (one) => one.path],
  ["address", (one) => one.address],
  ["token_id", (one) => one.token_id ?? "–"],
  ["idempotency_key", (one) => one.idempotency_key ?? "–"],
];

/** All that is known of one. */
function known(one) {
  const all = [...COLUMNS, ...MORE].filter(([, words]) => words);
  return el("dl", {}, ...all.flatMap(([name, words]) => [el("dt", {}, t(`quarantine.${name}`)), el("dd", {}, words(one))]));
}

/** The part of the agents' page; `changed` is called when one was stored. */
export function quarantine(changed) {
  let changes = false;
  const underway = new Set();
  const body = el("tbody");
  const none = el("p", { class: "empty", hidden: true }, t("quarantine.none"));
  const done = el("p", { class: "note", role: "status" });

  async function view(one) {
    try {
      const whole = await get(`/api/agents/quarantine/${one.id}`);
      const large = whole.body === null;
      const text = large ? el("p", {}, t("quarantine.too-large")) : copied(whole.body, t("quarantine.body"));
      dialog(t("quarantine.report", { id: one.id }), known(whole), text, closer(t("close"), { autofocus: true }));
    } catch (error) {
      say(done, refusal(error));
    }
  }

  async function replay(one) {
    if (underway.has(one.id)) return;
    underway.add(one.id);
    say(done, "");
    try {
      await ask("POST", `/api/agents/quarantine/${one.id}/replay`);
      say(done, `✓ ${t("quarantine.stored", { host: one.host_name ?? t("unknown") })}`);
    } catch (error) {
      say(done, `▲ ${t("quarantine.refused", { message: refusal(error) })}`);
    }
    underway.delete(one.id);
    changed();
  }

  function rowOf(one) {
    function press(work, name) {
      const words = t(`quarantine.${name}`);
      const label = `${words}: ${one.host_name ?? one.id}`;
      return el("button", { type: "button", class: name, onclick: () => work(one), "aria-label": label }, words);
    }
    const does = [press(view, "view"), " ", press(replay, "replay")];
    const made = row(NAMES);
    made.children[NAMES.indexOf("does")].append(...does);
    return made;
  }

  function drawRow(made, one) {
    COLUMNS.forEach(([, words], place) => words && say(made.children[place], words(one)));
    made.firstChild.title = elsewhere(one.received_at);
    made.querySelector(".replay").hidden = !changes || !one.whole || one.replayed_at !== null;
  }

  const head = titles(NAMES, (name) => t(`quarantine.${name}`));
  const table = within("quarantine-title", head, body);
  const title = el("h2", { id: "quarantine-title" }, t("quarantine"));
  const node = el("section", { "aria-labelledby": "quarantine-title" }, title, none, table, done);
  node.draw = (refused, may) => {
    changes = may;
    none.hidden = refused.length > 0;
    table.hidden = refused.length === 0;
    keyed(body, refused, (one) => one.id, rowOf, drawRow);
  };
  return node;
}
