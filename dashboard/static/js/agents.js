// Who reports how well, for admins: the agents, the tokens that they show, and the reports that were refused.

import * as address from "./address.js";
import { get, Refusal, securityMode, token, whole } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { empty } from "./empty.js";
import { page } from "./frame.js";
import { every } from "./loop.js";
import { quarantine } from "./quarantine.js";
import { heads, ordered, orderOf, row, within } from "./table.js";
import { tokens } from "./tokens.js";
import { ago, elsewhere, lasting, number, t } from "./words.js";

// Servers note what they heard about once a minute.
const LOOK_S = 15;
const MOST_SKEW_S = 5;
const USUAL = { q: "", token: "", wrong: "", sort: "host_name", ended: "" };

let mode = null;
let agents = [];
let names = new Map();

// ---- What is wrong with an agent

const WRONG = [
  ["ahead", (agent) => agent.skew_s > MOST_SKEW_S && { time: lasting(agent.skew_s) }],
  ["behind", (agent) => agent.skew_s < -MOST_SKEW_S && { time: lasting(-agent.skew_s) }],
  ["gaps", (agent) => agent.gaps > 0 && { count: agent.gaps }],
  ["refused", (agent) => agent.refused > 0 && { count: agent.refused }],
  // While no token is looked at, none is noted.
  ["token", (agent) => mode !== "off" && !agent.token_id && {}],
];

const wrong = (agent) => WRONG.map(([name, given]) => [name, given(agent)]).filter(([, given]) => given);

// ---- The list

/** The name of the token that an agent shows. */
const shows = (agent) => names.get(agent.token_id) ?? agent.token_id;
const seconds = (value, digits) => t("agents.seconds", { value: number(value, digits) });
const skew = (value) => (value === null ? "–" : `${value > 0 ? "+" : ""}${seconds(value, 1)}`);
const refusals = ({ refused, last_refusal: last, refused_at: at }) =>
  [number(refused), last, at && ago(at)].filter(Boolean).join(" · ");
const COLUMNS = [
  ["host_name", (agent) => agent.host_name],
  ["wrong", (agent) => wrong(agent).map(([name, given]) => `▲ ${t(`agents.wrong.${name}`, given)}`).join(", ")],
  ["last_seen", (agent) => ago(agent.last_seen)],
  ["agent", (agent) => agent.agent ?? "–"],
  ["address", (agent) => agent.address],
  ["token_id", (agent) => shows(agent) ?? "–"],
  ["interval_s", (agent) => (agent.interval_s === null ? "–" : seconds(agent.interval_s, agent.interval_s < 10 ? 1 : 0))],
  ["reports", (agent) => number(agent.reports)],
  ["repeats", (agent) => number(agent.repeats)],
  ["gaps", (agent) => number(agent.gaps)],
  ["refused", (agent) => refusals(agent)],
  ["skew_s", (agent) => skew(agent.skew_s)],
  ["utc_offset", (agent) => agent.utc_offset ?? "–"],
];
const NAMES = COLUMNS.map(([name]) => name);
const GREATEST = ["wrong", "reports", "repeats", "gaps", "refused"];
const SORT = { wrong: (agent) => wrong(agent).length, token_id: shows };

/** The state in the address; what it cannot be is as usual. */
function state() {
  const given = address.state(USUAL);
  return { ...given, sort: orderOf(given.sort, NAMES, USUAL.sort) };
}

let now = state();
const head = heads((name) => t(`agents.${name}`), set, { sorts: NAMES, greatest: GREATEST });
const body = el("tbody");
const count = el("p", { class: "count", role: "status" });

function listed() {
  const asked = now.q.toLowerCase();
  const fits = (agent) =>
    (!now.token || Boolean(agent.token_id) === (now.token === "with")) &&
    (!now.wrong || wrong(agent).length > 0) &&
    (!asked || agent.host_name.toLowerCase().includes(asked));
  return ordered(agents.filter(fits), now.sort, SORT);
}

function rowOf(agent) {
  const made = row(NAMES);
  made.firstChild.append(el("a", { href: `/hosts/${agent.host_id}` }));
  return made;
}

function drawRow(made, agent) {
  COLUMNS.forEach(([, words], place) => say(place ? made.children[place] : made.firstChild.firstChild, words(agent)));
  made.querySelector(".last_seen").title = elsewhere(agent.last_seen);
  if (agent.refused_at) made.querySelector(".refused").title = elsewhere(agent.refused_at);
}

function drawAgents() {
  const shown = listed();
  head.show(NAMES, now.sort);
  keyed(body, shown, (agent) => agent.host_id, rowOf, drawRow);
  say(count, t("agents.count", { shown: shown.length, count: agents.length }));
  nothing.show(agents.length === 0);
  some.hidden = agents.length === 0;
}

// ---- Who may

const forbidden = el("section", { class: "empty", hidden: true });

/** Says who sees this page, instead of the page. */
function refuse() {
  all.hidden = true;
  forbidden.hidden = false;
  const next = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  if (mode === "off") forbidden.replaceChildren(t("agents.forbidden.off"));
  else forbidden.replaceChildren(t("agents.forbidden"), " ", el("a", { href: next }, t("agents.sign-in")));
}

/** Whether this page may change anything: a server that looks at no token lets no web page do so. */
const may = () => mode !== "off" && token.get() !== null;

const how = el("p", { class: "note" });

function drawHow() {
  how.hidden = may();
  if (mode === "off") how.replaceChildren(t("agents.how.off"), " ", el("code", {}, "python manage.py token create --scope ingest --host web-1"));
  else how.replaceChildren(t("agents.how"), " ", el("a", { href: "/login?next=/agents" }, t("agents.sign-in")));
}

// ---- The page

async function look() {
  mode = await securityMode();
  try {
    if (mode === "enforce" && token.role() === "viewer") throw new Refusal(403, "FORBIDDEN", t("agents.forbidden.why"));
    agents = await whole("/api/agents");
  } catch (error) {
    if (error.status === 403) refuse();
    throw error;
  }
  const [made, refused] = await Promise.all([get("/api/tokens"), get("/api/agents/quarantine")]);
  names = new Map(made.map(({ id, name }) => [id, name]));
  drawHow();
  drawAgents();
  heldTokens.draw(made, may());
  refusedReports.draw(refused, may());
  all.hidden = false;
}

function set(changes) {
  now = { ...now, ...changes };
  address.put(USUAL, now, { step: !("q" in changes) });
  drawAgents();
  heldTokens.show(now);
}

const again = () => lookAgain();
const heldTokens = tokens(now, set, again);
const refusedReports = quarantine(again);
const search = el("input", {
  type: "search", "data-search": true, value: now.q, "aria-label": t("agents.search"), placeholder: t("agents.search"),
  oninput: () => set({ q: search.value }),
});
const which = el(
  "select",
  { "aria-label": t("agents.token_id"), onchange: () => set({ token: which.value }) },
  ...["", "with", "without"].map((value) => el("option", { value, selected: now.token === value }, t(`agents.tokens.${value || "all"}`))),
);
const only = el("input", { type: "checkbox", checked: now.wrong !== "", onchange: () => set({ wrong: only.checked ? "1" : "" }) });
const nothing = empty("agents.empty");
const some = el(
  "div",
  { hidden: true },
  el("div", { class: "tools" }, search, which, el("label", {}, only, " ", t("agents.only")), count),
  within("agents-title", head, body, { class: "agents" }),
  el("p", { class: "legend" }, t("agents.legend", { seconds: MOST_SKEW_S })),
);
const all = el(
  "div",
  { hidden: true },
  el("section", { "aria-labelledby": "agents-title" }, el("h2", { id: "agents-title" }, t("agents.title")), nothing, some),
  how,
  heldTokens,
  refusedReports,
);
page.append(forbidden, all);
address.moved(() => {
  now = state();
  search.value = now.q;
  which.value = now.token;
  only.checked = now.wrong !== "";
  drawAgents();
  heldTokens.show(now);
});
const lookAgain = every(LOOK_S, look);
