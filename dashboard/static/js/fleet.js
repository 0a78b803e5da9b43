// The fleet at a glance: its sums, every host as a coloured cell, the hosts as a list, and what happened last.

import * as address from "./address.js";
import { get } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { empty } from "./empty.js";
import { page } from "./frame.js";
import { COLOURS, grid } from "./grid.js";
import { entry, key } from "./happened.js";
import { every } from "./loop.js";
import { draw, spark } from "./spark.js";
import { sums } from "./sums.js";
import { heads, ordered, orderOf, row, scrolling } from "./table.js";
import { ago, elsewhere, gib, number, percent, t } from "./words.js";

const LOOK_S = 5;
const PAST_S = 60;
const FEW = 100;
const MOST_TRENDS = 100;
// Nobody is asked while somebody types.
const RESTS_MS = 300;
const USUAL = { by: "cpu_percentage", sort: "host_name", q: "", status: "", rows: `${FEW}` };
const COLUMNS = {
  host_name: (host) => host.host_name,
  status: (host) => t(`status.${host.status}`),
  cpu_percentage: (host) => percent(host.cpu_percentage),
  memory_percentage: (host) => percent(host.memory_percentage),
  memory_usage: (host) => gib(host.memory_usage),
  containers_running: (host) => `${number(host.containers_running)} / ${number(host.containers_count)}`,
  last_seen: (host) => ago(host.last_seen),
};
const NAMES = Object.keys(COLUMNS);
const GREATEST = ["cpu_percentage", "memory_percentage", "memory_usage", "containers_running"];
const STATUSES = ["", "online", "offline"];

/** The state in the address; what it cannot be is as usual. */
function state() {
  const given = address.state(USUAL);
  const by = address.oneOf(COLOURS, given.by, USUAL.by);
  const status = address.oneOf(STATUSES, given.status, USUAL.status);
  const rows = address.countOf(given.rows, USUAL.rows);
  return { ...given, by, status, rows, sort: orderOf(given.sort, NAMES, USUAL.sort) };
}

const hosts = new Map();
const trends = new Map();
let totals = null;
let snapshot = null;
let now = state();
let resting = null;

// ---- What is asked

async function look() {
  const seen = await get("/api/fleet", { changed_since: snapshot });
  if (seen.full) hosts.clear();
  seen.hosts.forEach((host) => hosts.set(host.id, host));
  for (const id of seen.gone) {
    hosts.delete(id);
    trends.delete(id);
  }
  const first = !snapshot;
  ({ snapshot, totals } = seen);
  drawAll(seen.full || seen.gone.length ? null : seen.hosts.map((host) => host.id));
  if (!first) return;
  performance.mark("usable");
  again();
}

async function lookBack() {
  if (!snapshot) return false; // the first look tells whose rows there are, and asks again
  const all = await get("/api/trends");
  trends.set("fleet", all.series[0]);
  totalled.draw(totals, trends.get("fleet"));
  await lookAtRows();
  const from = new Date(Date.now() - 3_600_000).toISOString();
  drawEvents(await get("/api/events", { from, limit: 15 }));
  return true;
}

/** The last hour of the hosts whose rows are shown. */
async function lookAtRows() {
  const ids = listed().slice(0, Math.min(most(), MOST_TRENDS)).map((host) => host.id);
  if (!ids.length) return;
  const { series } = await get("/api/trends", { host_ids: ids.join(",") });
  const all = trends.get("fleet");
  trends.clear(); // a host of which nothing is told any more has no line
  trends.set("fleet", all);
  series.forEach((one) => trends.set(one.host_id, one));
  drawList();
}

// ---- The list

const head = heads((name) => t(`column.${name}`), set, { sorts: NAMES, greatest: GREATEST });
const body = el("tbody");
const more = el("button", { type: "button", onclick: () => set({ rows: `${hosts.size}` }) });
const count = el("p", { class: "count", role: "status" });
const back = el("button", { type: "button", onclick: letGo }, t("list.let.go"));
const none = el("p", { class: "empty", hidden: true }, t("list.none"), " ", back);

const most = () => Number(now.rows);

function listed() {
  const asked = now.q.toLowerCase();
  const fits = (host) =>
    (!now.status || host.status === now.status) &&
    (!asked || host.host_name.toLowerCase().includes(asked) || host.tags.some((tag) => tag.toLowerCase() === asked));
  return ordered([...hosts.values()].filter(fits), now.sort);
}

const drawHead = () => head.show([...NAMES, "hour"], now.sort);

function rowOf(host) {
  const made = row([...NAMES, "hour"]);
  made.firstChild.append(el("a", { href: `/hosts/${host.id}` }));
  made.lastChild.append(spark(t("column.hour")));
  return made;
}

function drawRow(made, host) {
  made.dataset.status = host.status;
  NAMES.forEach((name, place) => say(place ? made.children[place] : made.firstChild.firstChild, COLUMNS[name](host)));
  made.querySelector(".last_seen").title = elsewhere(host.last_seen);
  draw(made.lastChild.firstChild, trends.get(host.id)?.cpu_percentage ?? []);
}

function drawList() {
  const all = listed();
  const shown = all.slice(0, most());
  keyed(body, shown, (host) => host.id, rowOf, drawRow);
  say(count, t("list.count", { shown: shown.length, count: hosts.size }));
  none.hidden = all.length > 0;
  more.hidden = shown.length === all.length;
  say(more, t("list.all", { count: all.length }));
}

// ---- What happened

const happened = el("ol", { class: "happened" });
const quiet = el("p", { hidden: true }, t("events.quiet"));

function drawEvents(events) {
  keyed(happened, events, key, entry, () => {});
  quiet.hidden = events.length > 0;
}

// ---- The page

function drawAll(changed) {
  if (!totals) return; // nothing has been seen yet
  nothing.show(hosts.size === 0);
  all.hidden = hosts.size === 0;
  totalled.draw(totals, trends.get("fleet"));
  cells.draw(hosts, now.by, changed);
  drawList();
}

function set(changes) {
  now = { ...now, ...changes };
  address.put(USUAL, now, { step: !("q" in changes) });
  drawHead();
  cells.draw(hosts, now.by, null);
  drawList();
  clearTimeout(resting);
  resting = setTimeout(() => lookAtRows().catch(() => {}), RESTS_MS); // the next look tells of what failed
}

function letGo() {
  search.value = status.value = "";
  set({ q: "", status: "" });
}

const search = el("input", {
  type: "search", "data-search": true, value: now.q, "aria-label": t("search.hosts"), placeholder: t("search.hosts"),
  oninput: () => set({ q: search.value }),
});
const status = el(
  "select",
  { "aria-label": t("column.status"), onchange: () => set({ status: status.value }) },
  ...STATUSES.map((value) => el("option", { value, selected: now.status === value }, t(`status.${value || "all"}`))),
);
const totalled = sums();
const cells = grid(set);
const table = scrolling({ "aria-label": t("list") }, head, body);
const nothing = empty("fleet.empty");

function section(name, words, ...children) {
  return el("section", { "aria-labelledby": `${name}-title` }, el("h2", { id: `${name}-title` }, t(words)), ...children);
}

const all = el(
  "div",
  { hidden: true },
  totalled,
  cells,
  section("list", "list", el("div", { class: "tools" }, search, status, count), none, table, more),
  section("events", "events.hour", quiet, happened),
);
page.append(nothing, all);
address.moved(() => {
  now = state();
  search.value = now.q;
  status.value = now.status;
  drawHead();
  drawAll(null);
});
drawHead();
const again = every(PAST_S, lookBack);
every(LOOK_S, look);
