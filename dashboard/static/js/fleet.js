// The fleet at a glance: its sums, every host as a coloured cell, the hosts as a list, and what happened last.

import * as address from "./address.js";
import { every, get } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { empty, page } from "./frame.js";
import { entry, key } from "./happened.js";
import { draw, spark } from "./spark.js";
import { ago, elsewhere, gib, number, percent, t } from "./words.js";

const LOOK_S = 5;
const PAST_S = 60;
const FEW = 100;
const MOST_TRENDS = 100;
// Nobody is asked while somebody types.
const RESTS_MS = 300;
// A cell has room for its number while there are not more hosts than this.
const ROOMY = 150;
const BANDS = [20, 40, 60, 80, 90];
const USUAL = { by: "cpu_percentage", sort: "host_name", q: "", status: "", rows: `${FEW}` };
const COLUMNS = [
  ["host_name", (host) => host.host_name],
  ["status", (host) => t(`status.${host.status}`)],
  ["cpu_percentage", (host) => percent(host.cpu_percentage)],
  ["memory_percentage", (host) => percent(host.memory_percentage)],
  ["memory_usage", (host) => gib(host.memory_usage)],
  ["containers_running", (host) => `${number(host.containers_running)} / ${number(host.containers_count)}`],
  ["last_seen", (host) => ago(host.last_seen)],
];

const hosts = new Map();
const trends = new Map();
let totals = null;
let snapshot = null;
let now = address.state(USUAL);
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
  ({ snapshot, totals } = seen);
  drawAll(seen.full || seen.gone.length ? null : seen.hosts.map((host) => host.id));
  if (!performance.getEntriesByName("usable").length) performance.mark("usable");
}

async function lookBack() {
  if (!snapshot) await look(); // whose rows are there is known only then
  const all = await get("/api/trends");
  trends.set("fleet", all.series[0]);
  drawTotals();
  await lookAtRows();
  const from = new Date(Date.now() - 3_600_000).toISOString();
  drawEvents(await get("/api/events", { from, limit: 15 }));
}

/** The last hour of the hosts whose rows are shown. */
async function lookAtRows() {
  const ids = listed().slice(0, Math.min(most(), MOST_TRENDS)).map((host) => host.id);
  if (!ids.length) return;
  const { series } = await get("/api/trends", { host_ids: ids.join(",") });
  series.forEach((one) => trends.set(one.host_id, one));
  drawList();
}

// ---- The sums

const sums = el("dl", { class: "sums" });

function sum(name, value, beside, trend) {
  const made = () => {
    const chart = trend ? spark(t(`sum.${name}.trend`)) : null;
    return el("div", { class: "card" }, el("dt", {}, t(`sum.${name}`)), el("dd", {}, el("b"), el("small"), chart));
  };
  return { name, value, beside, trend, made };
}

function drawTotals() {
  if (!totals) return;
  const running = totals.containers.running ?? 0;
  const others = Object.entries(totals.containers).filter(([word]) => word !== "running");
  const past = trends.get("fleet");
  const cards = [
    sum("hosts", number(totals.hosts.online), t("sum.hosts.beside", { count: totals.hosts.offline })),
    sum("containers", number(running), others.map(([word, count]) => `${number(count)} ${word || t("unknown")}`).join(", ")),
    sum("cpu", percent(totals.cpu_percentage), t("sum.cpu.beside", { count: totals.cpu_cores }), past?.cpu_percentage ?? []),
    sum("memory", percent(totals.memory_percentage), t("sum.memory.beside", { used: gib(totals.memory_usage), all: gib(totals.memory_total) }), past?.memory_percentage ?? []),
  ];
  keyed(sums, cards, (card) => card.name, (card) => card.made(), (node, card) => {
    say(node.querySelector("b"), card.value);
    say(node.querySelector("small"), card.beside);
    if (card.trend) draw(node.querySelector("svg"), card.trend);
  });
}

// ---- The grid

const grid = el("ul", { class: "grid", "aria-label": t("grid") });

const band = (value) => (value === null ? "none" : BANDS.filter((edge) => value >= edge).length);

function cellOf(host) {
  return el("li", {}, el("a", { href: `/hosts/${host.id}`, tabindex: -1 }));
}

function sign(host, value, roomy) {
  if (host.status === "offline") return "×";
  if (roomy && value !== null) return number(value);
  return value >= BANDS.at(-1) ? "!" : "";
}

function drawCell(node, host) {
  const link = node.firstChild;
  const value = now.by === "state" ? null : host[now.by];
  const kind = host.status === "offline" ? "offline" : now.by === "state" ? "online" : band(value);
  const words = `${host.host_name}: ${t(`status.${host.status}`)}, CPU ${percent(host.cpu_percentage)}, ${t("memory")} ${percent(host.memory_percentage)}`;
  if (link.dataset.kind !== `${kind}`) link.dataset.kind = kind;
  if (link.title !== words) link.title = words;
  say(link, sign(host, value, hosts.size <= ROOMY));
}

function drawGrid(changed) {
  if (changed?.every((id) => grid.kept?.has(id))) {
    changed.forEach((id) => drawCell(grid.kept.get(id), hosts.get(id)));
    return;
  }
  const ordered = [...hosts.values()].sort((one, other) => compare(one.host_name, other.host_name));
  grid.dataset.roomy = hosts.size <= ROOMY;
  keyed(grid, ordered, (host) => host.id, cellOf, drawCell);
  if (!grid.querySelector('[tabindex="0"]')) grid.querySelector("a")?.setAttribute("tabindex", 0);
}

/** Arrow keys move through the grid: one stop for the Tab key, not a thousand. */
function step(event) {
  const cells = [...grid.querySelectorAll("a")];
  const at = cells.indexOf(event.target);
  const wide = Math.max(1, cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length);
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide, Home: -at, End: cells.length - 1 - at }[event.key];
  const next = by === undefined ? undefined : cells[at + by];
  if (at < 0 || !next) return;
  event.preventDefault();
  event.target.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

grid.addEventListener("keydown", step);

function choice() {
  const options = ["cpu_percentage", "memory_percentage", "state"].map((name) => {
    const input = el("input", { type: "radio", name: "by", value: name, checked: now.by === name, onchange: () => set({ by: name }) });
    return el("label", {}, input, t(`by.${name}`));
  });
  return el("fieldset", { class: "choice" }, el("legend", {}, t("by")), ...options);
}

// ---- The list

const collator = new Intl.Collator(undefined, { numeric: true });
const compare = collator.compare;
const head = el("tr");
const body = el("tbody");
const more = el("button", { type: "button", onclick: () => set({ rows: `${hosts.size}` }) });
const count = el("p", { class: "count", role: "status" });
const none = el("p", { class: "empty", hidden: true }, t("list.none"), " ", el("button", { type: "button", onclick: letGo }, t("list.let.go")));

/** How many rows are shown, whatever the address says. */
const most = () => (Number(now.rows) > 0 ? Number(now.rows) : FEW);

function listed() {
  const name = now.sort.replace(/^-/, "");
  const turn = now.sort.startsWith("-") ? -1 : 1;
  const asked = now.q.toLowerCase();
  const fits = (host) =>
    (!now.status || host.status === now.status) &&
    (!asked || host.host_name.toLowerCase().includes(asked) || host.tags.some((tag) => tag.toLowerCase() === asked));
  const key = (host) => host[name] ?? "";
  const order = (one, other) =>
    typeof one[name] === "number" && typeof other[name] === "number" ? one[name] - other[name] : compare(`${key(one)}`, `${key(other)}`);
  return [...hosts.values()].filter(fits).sort((one, other) => turn * order(one, other) || compare(one.host_name, other.host_name));
}

function drawHead() {
  const sorted = now.sort.replace(/^-/, "");
  head.replaceChildren(
    ...COLUMNS.map(([name]) => {
      const turned = name === sorted && !now.sort.startsWith("-");
      const direction = name !== sorted ? "none" : turned ? "ascending" : "descending";
      const arrow = { none: "", ascending: " ▲", descending: " ▼" }[direction];
      const press = () => set({ sort: turned ? `-${name}` : name });
      return el("th", { scope: "col", "aria-sort": direction, class: name }, el("button", { type: "button", onclick: press }, t(`column.${name}`) + arrow));
    }),
    el("th", { scope: "col", class: "past" }, t("column.hour")),
  );
}

function rowOf(host) {
  const link = el("a", { href: `/hosts/${host.id}` });
  const cells = COLUMNS.map(([name]) => el(name === "host_name" ? "th" : "td", { class: name, scope: name === "host_name" ? "row" : null }, name === "host_name" ? link : null));
  return el("tr", {}, ...cells, el("td", { class: "past" }, spark(t("column.hour"))));
}

function drawRow(row, host) {
  row.dataset.status = host.status;
  COLUMNS.forEach(([name, words], place) => {
    const cell = row.children[place];
    say(name === "host_name" ? cell.firstChild : cell, words(host));
    if (name === "last_seen") cell.title = elsewhere(host.last_seen);
  });
  const past = trends.get(host.id);
  if (past) draw(row.lastChild.firstChild, past.cpu_percentage);
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
  nothing.hidden = hosts.size > 0;
  all.hidden = hosts.size === 0;
  drawTotals();
  drawGrid(changed);
  drawList();
}

function set(changes) {
  now = { ...now, ...changes };
  address.put(USUAL, now, { step: !("q" in changes) });
  drawHead();
  drawGrid(null);
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
  ...["", "online", "offline"].map((value) => el("option", { value, selected: now.status === value }, t(`status.${value || "all"}`))),
);
const table = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("list") }, el("table", {}, el("thead", {}, head), body));
const nothing = el("section", { hidden: true }, empty("fleet.empty"));
const all = el(
  "div",
  { hidden: true },
  sums,
  el("section", { "aria-labelledby": "grid-title" }, el("h2", { id: "grid-title" }, t("grid")), choice(), grid, el("p", { class: "legend" }, t("grid.legend"))),
  el("section", { "aria-labelledby": "list-title" }, el("h2", { id: "list-title" }, t("list")), el("div", { class: "tools" }, search, status, count), none, table, more),
  el("section", { "aria-labelledby": "events-title" }, el("h2", { id: "events-title" }, t("events.hour")), quiet, happened),
);
page.append(nothing, all);
address.moved(() => {
  now = address.state(USUAL);
  search.value = now.q;
  status.value = now.status;
  page.querySelectorAll('input[name="by"]').forEach((input) => (input.checked = input.value === now.by));
  drawHead();
  drawAll(null);
});
drawHead();
every(LOOK_S, look);
every(PAST_S, lookBack);
