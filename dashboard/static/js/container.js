// One container: its state, its past as charts, and its life as what happened to it, the newest first.

import * as address from "./address.js";
import { ask, cursor, get } from "./api.js";
import { el, keyed, pairs, say } from "./dom.js";
import { lost, page } from "./frame.js";
import { key, what } from "./happened.js";
import { every } from "./loop.js";
import { past } from "./past.js";
import { scrolling, titles } from "./table.js";
import { ago, elsewhere, gib, lasting, moment, number, percent, t, time } from "./words.js";

const LOOK_S = 5;
const LIFE_S = 30;
const EVENTS = 50;
// Part of a name finds more than that name; this is the most that a list has.
const MOST = 10_000;
const USUAL = { engine: "" };
const [, hostId, encoded] = /^\/hosts\/(\d+)\/containers\/(.*)$/s.exec(location.pathname);
const name = decoded(encoded);
const chosen = address.state(USUAL).engine;

/** A name out of an address; one that is no proper encoding is taken as it stands. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// ---- What is known of it

let host = null;
let container = null;

const FACTS = [
  ["status", (one) => one.status || t("unknown")],
  ["health", (one) => one.health],
  ["cpu_percentage", (one) => percent(one.cpu_percentage)],
  ["memory", (one) => `${gib(one.memory_usage)} (${percent(one.memory_percentage)})`],
  ["started_at", (one) => one.started_at && time(one.started_at, ago(one.started_at))],
  ["sampled_at", (one) => time(one.sampled_at, ago(one.sampled_at))],
  ["image", (one) => one.image],
  ["restart_count", (one) => number(one.restart_count)],
  ["exit_code", (one) => one.exit_code === null ? null : `${one.exit_code}`],
  ["oom_killed", (one) => one.oom_killed === null ? null : t(one.oom_killed ? "yes" : "no")],
  ["engine_type", (one) => one.engine_type],
  ["cluster_name", (one) => one.cluster_name],
  ["node_name", (one) => one.node_name],
  ["container_id", (one) => one.container_id],
];

const title = page.querySelector("h1");
const above = el("p", { class: "above" });
const warning = el("p", { class: "warning", role: "status", hidden: true });
const facts = el("dl", { class: "facts close" });
const described = el("section", { "aria-labelledby": "facts-title", hidden: true }, el("h2", { id: "facts-title" }, t("facts")), facts);
const engines = el("nav", { class: "engines", "aria-label": t("fact.engine_type"), hidden: true });
say(title, name);
document.title = `${name} · ${document.title.split(" · ").at(-1)}`;

/** What is wrong with what is shown; an empty text if nothing is. */
function warns() {
  if (life === null) return "";
  if (container) return host.status === "offline" ? t("container.silent", { time: moment(host.last_seen) }) : "";
  const last = life.find((event) => event.kind === "vanished");
  return last ? t("container.vanished", { time: moment(last.at) }) : t(life.length ? "container.gone" : "container.unknown");
}

function drawState() {
  if (above.firstChild?.textContent !== host.host_name) drawLinks();
  say(warning, warns());
  warning.hidden = !warning.textContent;
  described.hidden = !container;
  if (!container) return;
  facts.replaceChildren(...pairs(FACTS, (fact) => t(`fact.${fact}`), (words) => words(container) || "–"));
}

function drawLinks() {
  const others = new URLSearchParams({ of: `${hostId}/${name}` });
  const compare = el("a", { href: `/compare?${others}` }, t("container.compare"));
  above.replaceChildren(el("a", { href: `/hosts/${hostId}` }, host.host_name), " · ", compare);
}

/** A choice only where two engines have, or had, a container of this name. */
function drawEngines(names, engine) {
  const there = (one) => {
    const given = new URLSearchParams(location.search);
    given.set("engine", one);
    return `?${given}`;
  };
  const link = (one) => {
    const lead = (event) => (event.currentTarget.href = there(one)); // the span may be another one by then
    return el("a", { href: there(one), "aria-current": one === engine ? "true" : null, onclick: lead }, one);
  };
  engines.replaceChildren(`${t("fact.engine_type")}: `, ...names.flatMap((one, place) => [place ? " " : "", link(one)]));
  engines.hidden = names.length < 2;
}

// ---- Its life

let life = null;
let older = null;
let whose = null;
const SETS = new Set(["first_seen", "returned", "status", "vanished"]);
const stateOf = (event) => (event.kind === "vanished" ? t("life.absent") : event.to || t("unknown"));

const rows = el("tbody");
const heads = titles(["when", "what", "lasted"], (column) => t(`life.${column}`));
const quiet = el("p", { hidden: true }, t("life.none"));
const shown = el("p", { class: "count", role: "status" });
const more = el("button", { type: "button", hidden: true, onclick: () => lookFurther() }, t("life.more"));
const table = scrolling({ "aria-labelledby": "life-title" }, heads, rows, { class: "life" });

/** How long the state lasted that each event began, up to the next one that set a state; of the last, up to now. */
function durations() {
  const found = new Map();
  let end = null;
  for (const event of life) {
    if (!SETS.has(event.kind)) continue;
    const until = end ?? Date.parse(container?.sampled_at ?? host.last_seen);
    const seconds = Math.max(0, Math.round((until - Date.parse(event.at)) / 1000));
    const words = end === null ? (host.status === "offline" ? "life.at_least" : "life.so_far") : "life.for";
    found.set(event, t(words, { state: stateOf(event), time: lasting(seconds) }));
    end = Date.parse(event.at);
  }
  return found;
}

function rowOf(event) {
  return el("tr", { "data-kind": event.kind }, el("th", { scope: "row" }, time(event.at)), el("td"), el("td"));
}

function drawLife() {
  const lasted = durations();
  keyed(rows, life, key, rowOf, (row, event) => {
    say(row.children[1], what(event));
    say(row.children[2], lasted.get(event) ?? "");
  });
  quiet.hidden = life.length > 0;
  table.hidden = life.length === 0;
  more.hidden = older === null;
  say(shown, life.length ? t(older === null ? "life.all" : "life.count", { count: life.length }) : "");
}

/** The newest events, over those that were fetched before: late reports correct them. */
async function lookAtLife() {
  const answer = await ask("GET", "/api/events", { ...whose, limit: EVENTS });
  const last = answer.data.at(-1);
  const newest = new Set(answer.data.map(key));
  const before = life?.length > EVENTS ? life.filter((event) => event.at <= last?.at && !newest.has(key(event))) : [];
  if (!before.length) older = cursor(answer.headers);
  life = [...answer.data, ...before];
  drawLife();
  drawState();
}

async function lookFurther() {
  if (more.ariaDisabled) return;
  more.ariaDisabled = "true"; // in words alone: it keeps the focus
  const from = older;
  try {
    const answer = await ask("GET", "/api/events", { ...whose, limit: EVENTS, cursor: from });
    if (older !== from) return; // what it follows was fetched anew meanwhile
    const have = new Set(life.map(key));
    older = cursor(answer.headers);
    life = [...life, ...answer.data.filter((event) => !have.has(key(event)))];
    drawLife();
  } catch (error) {
    say(shown, t("life.failed", { message: error.message }));
  } finally {
    more.ariaDisabled = null;
  }
}

// ---- What is asked

/** Which engine's container is shown: the one in the address, else the current one, else that of the newest event. */
async function begin(found) {
  const events = await get("/api/events", { host_id: hostId, container_name: name, limit: EVENTS });
  const names = [...new Set([...found, ...events, ...(chosen ? [{ engine_type: chosen }] : [])].map((one) => one.engine_type))].sort();
  const engine = chosen || (found[0] ?? events[0])?.engine_type;
  whose = { host_id: hostId, container_name: name, engine_type: engine };
  drawEngines(names, engine);
  described.after(past(whose));
  every(LIFE_S, lookAtLife);
}

async function look() {
  const [seen, all] = await Promise.all([get(`/api/hosts/${hostId}`), get(`/api/hosts/${hostId}/containers`, { q: name, limit: MOST })]);
  const found = all.filter((one) => one.container_name === name);
  host = seen;
  if (!whose) await begin(found);
  container = found.find((one) => one.engine_type === whose.engine_type) ?? null;
  drawState();
}

page.append(
  above, warning, engines, described,
  el("section", {}, el("h2", { id: "life-title" }, t("life")), quiet, table, shown, more),
);
every(LOOK_S, () => look().catch(lost));
