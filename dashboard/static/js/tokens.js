// The tokens: which there are, making one, another secret for one, and the end of one.

import { ask } from "./api.js";
import { closer, dialog } from "./dialog.js";
import { el, keyed, say } from "./dom.js";
import { copied, field, form } from "./form.js";
import { row, titles, within } from "./table.js";
import { ago, elsewhere, moment, t } from "./words.js";

const SCOPES = ["ingest", "read", "admin"];
const BINDINGS = ["host", "pattern", "first"];
const COLUMNS = [
  ["name", (token) => token.name],
  ["does", null],
  ["id", (token) => token.id],
  ["scope", (token) => token.scope],
  ["whom", (token) => whom(token)],
  ["status", (token) => `${token.status === "active" ? "" : "× "}${t(`tokens.status.${token.status}`)}`],
  ["last_used", (token) => (token.last_used ? ago(token.last_used) : t("tokens.unused"))],
  ["created_at", (token) => moment(token.created_at)],
  ["expires_at", (token) => (token.expires_at ? moment(token.expires_at) : t("tokens.never"))],
  ["previous", (token) => previous(token)],
];
const NAMES = COLUMNS.map(([name]) => name);

function whom(token) {
  if (token.binding === null) return "–";
  if (token.host_name === null) return t("tokens.binding.first");
  return token.binding === "pattern" ? t("tokens.pattern", { pattern: token.host_name }) : token.host_name;
}

function previous(token) {
  if (!token.previous_until || Date.parse(token.previous_until) <= Date.now()) return "–";
  const used = token.previous_used ? t("tokens.previous.used", { ago: ago(token.previous_used) }) : t("tokens.previous.unused");
  return `${moment(token.previous_until)}, ${used}`;
}

// ---- A secret, which is shown once

/** A text as one word of a shell, whatever is in it. */
const word = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const INSTALL = "python3 -m venv .venv && .venv/bin/pip install -r agent/requirements.txt";

/** What starts an agent; the secret is in the environment: what is in arguments every user of the machine sees. */
function commands(secret) {
  const server = word(location.origin);
  const token = `AGENT_TOKEN=${word(secret)}`;
  return [
    ["tokens.start.python", `${token} python -m agent --server ${server}`],
    ["tokens.start.install", `${INSTALL} && ${token} .venv/bin/python -m agent --server ${server}`],
    ["tokens.start.docker", `AGENT_SERVER=${server} ${token} docker compose -f agent/compose.yaml up -d --build`],
  ];
}

function showSecret(made) {
  const starts = commands(made.token).flatMap(([name, command]) => [el("h3", {}, t(name)), copied(command, t(name))]);
  const use = {
    ingest: () => [el("p", {}, t("tokens.start", { whom: whom(made) })), ...starts],
    read: () => [el("p", {}, t("tokens.use.read"))],
    admin: () => [el("p", {}, t("tokens.use.admin"))],
  }[made.scope]();
  const once = el("p", { class: "wrong" }, `▲ ${t("tokens.once")}`);
  const kept = closer(t("tokens.kept"), { autofocus: true });
  const secret = dialog(t("tokens.secret", { name: made.name }), once, copied(made.token, t("tokens.token")), ...use, kept);
  secret.addEventListener("cancel", (event) => event.preventDefault()); // Esc would lose what is shown once
}

// ---- The list

/** The part of the agents' page; `choose` is called with what changes in its state, `changed` when a token did. */
export function tokens(state, choose, changed) {
  let now = state;
  let all = [];
  let changes = false;
  const body = el("tbody");
  const none = el("p", { class: "empty", hidden: true }, t("tokens.none"));
  const done = el("p", { class: "note", role: "status" });

  /** A dialog that does something to tokens once its form is sent. */
  function asking(title, go, work, fields) {
    const send = async () => {
      const told = await work();
      opened.close();
      changed();
      return told;
    };
    const opened = dialog(title, form(send, go, fields, closer(t("cancel"))));
    return opened;
  }

  function create() {
    const name = el("input", { name: "name", required: true, maxlength: 255, autocomplete: "off", autofocus: true });
    const option = (kind) => (value) => el("option", { value }, t(`tokens.${kind}.${value}`));
    const choice = (kind, values) => el("select", { name: kind, onchange: fit }, ...values.map(option(kind)));
    const [scope, binding] = [choice("scope", SCOPES), choice("binding", BINDINGS)];
    const host = el("input", { name: "host_name", maxlength: 255, autocomplete: "off" });
    const days = el("input", { name: "days", type: "number", min: 1, max: 3_650, step: 1 });
    const bound = field(t("tokens.binding"), binding);
    const named = field(t("tokens.host_name"), host, t("tokens.host_name.hint"));
    function fit() {
      bound.hidden = scope.value !== "ingest";
      named.hidden = bound.hidden || binding.value === "first";
      host.required = !named.hidden;
    }
    const work = async () => {
      const body = { name: name.value, scope: scope.value };
      if (!bound.hidden) body.binding = binding.value;
      if (!named.hidden) body.host_name = host.value;
      if (days.value) body.expires_in_days = Number(days.value);
      showSecret((await ask("POST", "/api/tokens", {}, { body })).data);
    };
    const whose = [field(t("tokens.name"), name), field(t("tokens.scope"), scope), bound, named];
    asking(t("tokens.new"), t("tokens.create"), work, [...whose, field(t("tokens.days"), days, t("tokens.days.hint"))]);
    fit();
  }

  function rotate(token) {
    const hours = el("input", { name: "hours", type: "number", min: 0, max: 720, step: "any", value: 24, required: true, autofocus: true });
    const work = async () => {
      const { data } = await ask("POST", `/api/tokens/${token.id}/rotate`, {}, { body: { overlap_hours: Number(hours.value) } });
      showSecret(data);
    };
    const overlap = field(t("tokens.overlap"), hours, t("tokens.overlap.hint"));
    asking(t("tokens.rotate.title", { name: token.name }), t("tokens.rotate"), work, [overlap]);
  }

  function revoke(token) {
    const work = async () => {
      await ask("DELETE", `/api/tokens/${token.id}`);
      say(done, `✓ ${t("tokens.revoked", { name: token.name })}`);
    };
    const told = el("p", {}, t(`tokens.revoke.${token.scope}`));
    const opened = asking(t("tokens.revoke.title", { name: token.name }), t("tokens.revoke"), work, [told]);
    opened.querySelector('button[type="button"]').focus(); // what cannot be taken back is not what Enter does
  }

  function rowOf(token) {
    function press(name, work) {
      const words = t(`tokens.${name}`);
      return el("button", { type: "button", onclick: () => work(token), "aria-label": `${words}: ${token.name}` }, words);
    }
    const does = [press("rotate", rotate), " ", press("revoke", revoke)];
    const made = row(NAMES);
    made.children[NAMES.indexOf("does")].append(...does);
    return made;
  }

  function drawRow(made, token) {
    COLUMNS.forEach(([, words], place) => words && say(made.children[place], words(token)));
    if (token.last_used) made.querySelector(".last_used").title = elsewhere(token.last_used);
    made.dataset.status = token.status;
    const [another, end] = made.querySelectorAll("button");
    another.hidden = !changes || token.status !== "active";
    end.hidden = !changes || token.status === "revoked";
  }

  function draw() {
    const shown = now.ended ? all : all.filter((token) => token.status === "active");
    keyed(body, shown, (token) => token.id, rowOf, drawRow);
    none.hidden = shown.length > 0;
    table.hidden = shown.length === 0;
    fresh.hidden = !changes;
    ended.checked = now.ended !== "";
  }

  const fresh = el("button", { type: "button", onclick: create }, t("tokens.new"));
  const ended = el("input", { type: "checkbox", onchange: () => choose({ ended: ended.checked ? "1" : "" }) });
  const head = titles(NAMES, (name) => t(`tokens.${name}`));
  const table = within("tokens-title", head, body);
  const node = el("section", { "aria-labelledby": "tokens-title" }, el("h2", { id: "tokens-title" }, t("tokens")),
    el("div", { class: "tools" }, fresh, el("label", {}, ended, " ", t("tokens.ended"))), none, table, done);
  node.show = (state_) => {
    now = state_;
    draw();
  };
  node.draw = (found, may) => {
    [all, changes] = [found, may];
    draw();
  };
  return node;
}
