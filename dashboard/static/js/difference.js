// What changed between two moments, as tables.

import { get, Refusal } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { empty } from "./empty.js";
import { containerAddress } from "./happened.js";
import { moments, span } from "./range.js";
import { suggest } from "./suggest.js";
import { row, scrolling, titles } from "./table.js";
import { gib, lengthOf, moment, number, percent, t } from "./words.js";

const HOSTS = 10_000;
const OFFERS = 8;
const MOST = 1_000;
const MOVERS = 10;
const FULL = "raw";

// ---- Cells

const hostLink = (one) => el("a", { href: `/hosts/${one.id ?? one.host_id}` }, one.host_name);
function containerLink(one) {
  const link = el("a", { href: containerAddress(one.host_id, one.container_name) }, one.container_name);
  return el("span", {}, hostLink(one), " / ", link);
}
const word = (value) => value || t("unknown");
const statusOf = (host) => t(`status.${host.status}`);
/** A value, or both where it changed. */
const turn = (before, after) => (before === after ? word(after) : `${word(before)} → ${word(after)}`);
/** Of an aggregate no image is known: then it has not changed, as far as anybody can tell. */
const image = ({ from, to }) => (from.image && to.image ? turn(from.image, to.image) : word(to.image ?? from.image));
const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value), 1)}`;

// ---- Hosts: what the list was at both moments

function hostParts(before, after) {
  const [old, now] = [before, after].map((hosts) => new Map(hosts.map((host) => [host.id, host])));
  const both = after.filter((host) => old.has(host.id)).map((to) => ({ id: to.id, host_name: to.host_name, from: old.get(to.id), to }));
  return {
    appeared: after.filter((host) => !old.has(host.id)),
    vanished: before.filter((host) => !now.has(host.id)),
    changed: both.filter(({ from, to }) => from.status !== to.status),
    both,
  };
}

/** The hosts that moved most in a metric. */
function hostMovers(both, metric) {
  const known = both.filter(({ from, to }) => from[metric] !== null && to[metric] !== null);
  const moved = known.map((one) => ({ ...one, change: one.to[metric] - one.from[metric] })).filter(({ change }) => change);
  return moved.sort((one, other) => Math.abs(other.change) - Math.abs(one.change)).slice(0, MOVERS);
}

// ---- Tables

/** What a table shows; null without rows. A row's first cell names it. */
const table = (name, count, heads, rows) => (rows.length ? { name, count, heads, rows } : null);

function tableOf({ name, heads }) {
  const id = `diff-${name.replace(".", "-")}`;
  const head = titles(heads, (column) => t(`diff.${column}`));
  return el("section", {}, el("h3", { id }), scrolling({ "aria-labelledby": id }, head, el("tbody")));
}

function drawTable(section, { name, count, heads, rows }) {
  const some = count > rows.length ? t("diff.some", { shown: rows.length, count }) : number(count);
  say(section.querySelector("h3"), t(`diff.${name}`) + (count === null ? "" : ` (${some})`));
  keyed(section.querySelector("tbody"), rows, ([first]) => first.textContent ?? first, () => row(heads), drawRow);
}

function drawRow(line, cells) {
  cells.map((cell) => (cell.nodeType ? cell : document.createTextNode(cell))).forEach((cell, place) => {
    const before = line.children[place];
    if (!before.firstChild?.isEqualNode(cell)) before.replaceChildren(cell); // an equal link may have the focus
  });
}

const METRICS = [
  ["cpu_percentage", percent, (change) => t("diff.points", { change: signed(change) })],
  ["memory_usage", gib, (change) => `${signed(change)} GiB`],
];

function movers(of, link, found) {
  return METRICS.map(([metric, words, changed]) => {
    const rows = found(metric).map((one) => [link(one), words(one.from[metric]), words(one.to[metric]), changed(one.change)]);
    return table(`${of}.${metric}`, null, [of, "before", "after", "change"], rows);
  });
}

const HOST_HEADS = ["hosts", "status"];
const CONTAINER_HEADS = ["containers", "status", "image"];
const then = (one) => [containerLink(one), word(one.from.status), one.from.image ?? "–"];
const since = (one) => [containerLink(one), word(one.to.status), one.to.image ?? "–"];
const containerTurn = (one) => [containerLink(one), turn(one.from.status, one.to.status), image(one)];
const hostTurn = (one) => [hostLink(one), turn(statusOf(one.from), statusOf(one.to))];

function tables(diff, hosts, rows) {
  const some = (part, cellsOf) => part.slice(0, rows).map(cellsOf);
  const ofHosts = (name, heads, cellsOf) => table(`hosts.${name}`, hosts[name].length, heads, some(hosts[name], cellsOf));
  const ofContainers = (name, heads, cellsOf) => table(`containers.${name}`, diff[name].count, heads, some(diff[name].containers, cellsOf));
  return [
    ofHosts("appeared", HOST_HEADS, (one) => [hostLink(one), statusOf(one)]),
    ofHosts("vanished", ["hosts", "last"], (one) => [one.host_name, statusOf(one)]),
    ofHosts("changed", HOST_HEADS, hostTurn),
    ofContainers("appeared", CONTAINER_HEADS, since),
    ofContainers("vanished", ["containers", "last", "image"], then),
    ofContainers("changed", CONTAINER_HEADS, containerTurn),
    ...movers("containers", containerLink, (metric) => diff.movers[metric].slice(0, MOVERS)),
    ...movers("hosts", hostLink, (metric) => hostMovers(hosts.both, metric)),
  ].filter(Boolean);
}

// ---- The part of the page

async function find(q) {
  const hosts = await get("/api/hosts", { q, limit: OFFERS });
  return hosts.map((one) => ({ kind: "host", label: one.host_name, id: one.id }));
}

const PARTS = ["appeared", "vanished", "changed"];

/** `choose` is called with what changes in the state. */
export function difference(choose) {
  const told = el("p", { role: "status" });
  const notes = el("div", { class: "note" });
  const found = el("div", { class: "differences" });
  const nothing = empty("compare.empty");
  const more = el("button", { type: "button", hidden: true, onclick: () => choose({ rows: `${MOST}` }) }, t("diff.more", { count: MOST }));
  const away = el("button", { type: "button", "aria-label": t("diff.all"), onclick: leave }, "×");
  const chosen = el("span", { class: "chip", hidden: true }, el("a"), away);
  const box = suggest(t("diff.search"), find, ({ id }) => choose({ host: `${id}` }));

  function leave() {
    choose({ host: "" });
    box.querySelector("input").focus();
  }

  function show(now) {
    const link = chosen.firstChild;
    chosen.hidden = !now.host;
    if (link.getAttribute("href") === `/hosts/${now.host}`) return;
    link.setAttribute("href", `/hosts/${now.host}`);
    say(link, t("compare.host", { id: now.host }));
  }

  function summary(diff, hosts) {
    const counts = [
      ...PARTS.map((part) => [`hosts_${part}`, hosts[part].length]),
      ...PARTS.map((part) => [part, diff[part].count]),
    ];
    const changes = counts.filter(([, count]) => count).map(([name, count]) => t(`diff.sum.${name}`, { count }));
    const words = changes.length ? changes.join(", ") : t("diff.nothing");
    return t("diff.between", { from: moment(diff.from.at), to: moment(diff.to.at), words });
  }

  function noteOf(side) {
    if (side.resolution === null) return t("diff.unknown", { time: moment(side.at) });
    return side.resolution === FULL ? null : t("diff.coarse", { time: moment(side.at), step: lengthOf(side.resolution) });
  }

  async function ask(now) {
    // Up to now by the server's clock, not by this one.
    const [from, to] = span(now).map((at) => new Date(at).toISOString());
    const until = moments(now) ? to : null;
    const of = { host_id: now.host, limit: HOSTS };
    return Promise.all([
      get("/api/diff", { from, to: until, host_id: now.host, limit: Math.min(Number(now.rows), MOST) }),
      get("/api/hosts", { ...of, at: from }),
      get("/api/hosts", { ...of, at: until }),
    ]);
  }

  async function look(now) {
    try {
      const [diff, before, after] = await ask(now);
      draw(now, diff, hostParts(before, after));
      drawNothing(!moments(now) && !now.host && !before.length && !after.length);
      if (now.host && after[0]) say(chosen.firstChild, after[0].host_name);
    } catch (error) {
      if (!(error instanceof Refusal) || ![404, 422].includes(error.status)) throw error;
      drawNothing(false);
      keyed(found, []);
      notes.replaceChildren();
      say(told, error.message);
    }
  }

  function draw(now, diff, hosts) {
    const rows = Number(now.rows);
    say(told, summary(diff, hosts));
    notes.replaceChildren(...[diff.from, diff.to].map(noteOf).filter(Boolean).map((words) => el("p", {}, words)));
    keyed(found, tables(diff, hosts, rows), ({ name }) => name, tableOf, drawTable);
    const longest = Math.max(...PARTS.flatMap((part) => [hosts[part].length, diff[part].count]));
    more.hidden = rows >= MOST || longest <= rows;
  }

  /** Of a server that knows no host there is nothing to compare, whatever the span. */
  function drawNothing(bare) {
    nothing.show(bare);
    told.hidden = notes.hidden = bare;
  }

  const title = el("h2", { id: "difference-title" }, t("diff"));
  const tools = el("div", { class: "tools" }, box, chosen);
  return { look, show, node: el("section", { "aria-labelledby": "difference-title" }, title, tools, nothing, told, notes, found, more) };
}
