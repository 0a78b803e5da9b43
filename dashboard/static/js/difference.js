// What changed between two moments, as tables.

import { get, Refusal } from "./api.js";
import { el, say } from "./dom.js";
import { containerAddress } from "./happened.js";
import { span } from "./range.js";
import { suggest } from "./suggest.js";
import { scrolling, titles } from "./table.js";
import { gib, moment, number, percent, t } from "./words.js";

const HOSTS = 10_000;
const OFFERS = 8;
const MOST = 1_000;
const MOVERS = 10;
const FULL = "raw";

// ---- Cells

const hostLink = (one) => el("a", { href: `/hosts/${one.id ?? one.host_id}` }, one.host_name);
const containerLink = (one) => el("span", {}, hostLink(one), " / ", el("a", { href: containerAddress(one.host_id, one.container_name) }, one.container_name));
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

function table(name, count, heads, rows) {
  if (!rows.length) return null;
  const head = titles(heads, (column) => t(`diff.${column}`));
  const body = rows.map(([first, ...others]) => el("tr", {}, el("th", { scope: "row" }, first), ...others.map((cell) => el("td", {}, cell))));
  const id = `diff-${name.replace(".", "-")}`;
  const title = el("h3", { id }, t(`diff.${name}`), count === null ? "" : ` (${count > rows.length ? t("diff.some", { shown: rows.length, count }) : number(count)})`);
  return el("section", {}, title, scrolling({ "aria-labelledby": id }, head, el("tbody", {}, ...body)));
}

const METRICS = [["cpu_percentage", percent, (change) => t("diff.points", { change: signed(change) })], ["memory_usage", gib, (change) => `${signed(change)} GiB`]];

function movers(of, link, found) {
  return METRICS.map(([metric, words, changed]) => {
    const rows = found(metric).map((one) => [link(one), words(one.from[metric]), words(one.to[metric]), changed(one.change)]);
    return table(`${of}.${metric}`, null, [of, "before", "after", "change"], rows);
  });
}

function tables(diff, hosts, rows) {
  const some = (part, row) => part.slice(0, rows).map(row);
  const { appeared, vanished, changed } = diff;
  return [
    table("hosts.appeared", hosts.appeared.length, ["hosts", "status"], some(hosts.appeared, (one) => [hostLink(one), statusOf(one)])),
    table("hosts.vanished", hosts.vanished.length, ["hosts", "last"], some(hosts.vanished, (one) => [one.host_name, statusOf(one)])),
    table("hosts.changed", hosts.changed.length, ["hosts", "status"], some(hosts.changed, (one) => [hostLink(one), turn(statusOf(one.from), statusOf(one.to))])),
    table("containers.appeared", appeared.count, ["containers", "status", "image"], some(appeared.containers, (one) => [containerLink(one), word(one.to.status), one.to.image ?? "–"])),
    table("containers.vanished", vanished.count, ["containers", "last", "image"], some(vanished.containers, (one) => [containerLink(one), word(one.from.status), one.from.image ?? "–"])),
    table("containers.changed", changed.count, ["containers", "status", "image"], some(changed.containers, (one) => [containerLink(one), turn(one.from.status, one.to.status), image(one)])),
    ...movers("containers", containerLink, (metric) => diff.movers[metric].slice(0, MOVERS)),
    ...movers("hosts", hostLink, (metric) => hostMovers(hosts.both, metric)),
  ].filter(Boolean);
}

// ---- The part of the page

/** `choose` is called with what changes in the state. */
export function difference(choose) {
  const told = el("p", { role: "status" });
  const notes = el("div", { class: "note" });
  const found = el("div", { class: "differences" });
  const more = el("button", { type: "button", hidden: true, onclick: () => choose({ rows: `${MOST}` }) }, t("diff.more", { count: MOST }));
  const chosen = el("span", { class: "chip", hidden: true }, el("a"), el("button", { type: "button", "aria-label": t("diff.all"), onclick: () => leave() }, "×"));
  const find = async (q) => (await get("/api/hosts", { q, limit: OFFERS })).map((one) => ({ kind: "host", label: one.host_name, id: one.id }));
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
    const counts = { hosts_appeared: hosts.appeared.length, hosts_vanished: hosts.vanished.length, hosts_changed: hosts.changed.length, appeared: diff.appeared.count, vanished: diff.vanished.count, changed: diff.changed.count };
    const changes = Object.entries(counts).filter(([, count]) => count).map(([name, count]) => t(`diff.sum.${name}`, { count }));
    const words = changes.length ? changes.join(", ") : t("diff.nothing");
    return t("diff.between", { from: moment(diff.from.at), to: moment(diff.to.at), words });
  }

  function noteOf(side) {
    if (side.resolution === null) return t("diff.unknown", { time: moment(side.at) });
    return side.resolution === FULL ? null : t("diff.coarse", { time: moment(side.at), step: side.resolution });
  }

  async function ask(now) {
    // Up to now by the server's clock, not by this one.
    const [from, to] = span(now).map((at) => new Date(at).toISOString());
    const until = now.from ? to : null;
    const of = { host_id: now.host, limit: HOSTS };
    return Promise.all([
      get("/api/diff", { from, to: until, host_id: now.host, limit: Math.min(Number(now.rows) || 1, MOST) }),
      get("/api/hosts", { ...of, at: from }),
      get("/api/hosts", { ...of, at: until }),
    ]);
  }

  async function look(now) {
    try {
      const [diff, before, after] = await ask(now);
      draw(now, diff, hostParts(before, after));
      if (now.host && after[0]) say(chosen.firstChild, after[0].host_name);
    } catch (error) {
      if (!(error instanceof Refusal) || ![404, 422].includes(error.status)) throw error;
      found.replaceChildren();
      notes.replaceChildren();
      say(told, error.message);
    }
  }

  function draw(now, diff, hosts) {
    const rows = Number(now.rows) || 1;
    say(told, summary(diff, hosts));
    notes.replaceChildren(...[diff.from, diff.to].map(noteOf).filter(Boolean).map((words) => el("p", {}, words)));
    found.replaceChildren(...tables(diff, hosts, rows));
    const parts = [hosts.appeared, hosts.vanished, hosts.changed].map((part) => part.length);
    more.hidden = rows >= MOST || Math.max(...parts, diff.appeared.count, diff.vanished.count, diff.changed.count) <= rows;
  }

  const title = el("h2", { id: "difference-title" }, t("diff"));
  return { look, show, node: el("section", { "aria-labelledby": "difference-title" }, title, el("div", { class: "tools" }, box, chosen), told, notes, found, more) };
}
