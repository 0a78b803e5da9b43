// One host: its past as charts, its containers, what is known of it.

import { get } from "./api.js";
import { el, keyed, pairs, say } from "./dom.js";
import { lost, page } from "./frame.js";
import { containerAddress } from "./happened.js";
import { every } from "./loop.js";
import { past } from "./past.js";
import { draw, spark } from "./spark.js";
import { row, titles, within } from "./table.js";
import { ago, bytes, elsewhere, gib, lasting, moment, number, percent, t, time } from "./words.js";

const LOOK_S = 5;
const PAST_S = 60;
const id = location.pathname.split("/")[2];
const trends = new Map();
const keyOf = (one) => `${one.engine_type}\n${one.container_name}`;

// ---- What is known of the host

const FACTS = [
  ["status", (host) => t(`status.${host.status}`)],
  ["last_seen", (host) => time(host.last_seen, ago(host.last_seen))],
  ["get_datetime", (host) => host.get_datetime ?? "–"],
  ["cpu_percentage", (host) => percent(host.cpu_percentage)],
  ["cpu_cores", (host) => `${number(host.cpu_cores)} / ${number(host.cpu_threads)}`],
  ["memory", (host) => `${gib(host.memory_usage)} (${percent(host.memory_percentage)})`],
  ["disk", (host) => `${gib(host.disk_usage)} / ${gib(host.disk_total)}`],
  ["network", (host) => `↓ ${bytes(host.network_received)} ↑ ${bytes(host.network_sent)}`],
  ["load1", (host) => number(host.load1, 2)],
  ["uptime", (host) => lasting(host.uptime_s)],
  ["os", (host) => [host.os, host.kernel].filter(Boolean).join(", ") || "–"],
];

const facts = el("dl", { class: "facts" });
const silent = el("p", { class: "wrong", role: "status", hidden: true });
const tags = el("ul", { class: "tags", "aria-label": t("tags") });
const title = page.querySelector("h1");

const tagOf = (tag) => el("li", {}, el("a", { href: `/containers?tag=${encodeURIComponent(tag)}` }, tag));

function drawHost(host) {
  say(title, host.host_name);
  silent.hidden = host.status === "online";
  say(silent, t("container.silent", { time: moment(host.last_seen) }));
  document.title = `${host.host_name} · ${document.title.split(" · ").at(-1)}`;
  facts.replaceChildren(...pairs(FACTS, (name) => t(`fact.${name}`), (words) => words(host)));
  keyed(tags, host.tags, (tag) => tag, tagOf, () => {});
}

// ---- Its containers

const COLUMNS = [
  ["container_name", (one) => one.container_name],
  ["status", (one) => one.status || t("unknown")],
  ["cpu_percentage", (one) => percent(one.cpu_percentage)],
  ["memory_usage", (one) => gib(one.memory_usage)],
  ["memory_percentage", (one) => percent(one.memory_percentage)],
  ["image", (one) => one.image ?? "–"],
  ["started_at", (one) => (one.started_at ? ago(one.started_at) : "–")],
];
const NAMES = [...COLUMNS.map(([name]) => name), "past"];
const body = el("tbody");
const head = titles(NAMES, (name) => t(name === "past" ? "column.hour" : `column.${name}`));
const none = el("p", { hidden: true }, t("containers.none"));

function rowOf(one) {
  const cells = row(NAMES);
  cells.firstChild.append(el("a", { href: containerAddress(id, one.container_name) }));
  cells.lastChild.append(spark(t("column.hour")));
  return cells;
}

function drawRow(line, one) {
  line.dataset.status = one.status;
  COLUMNS.forEach(([, words], place) => say(place ? line.children[place] : line.firstChild.firstChild, words(one)));
  if (one.started_at) line.querySelector(".started_at").title = elsewhere(one.started_at);
  draw(line.lastChild.firstChild, trends.get(keyOf(one))?.cpu_percentage ?? []);
}

function drawContainers(containers) {
  keyed(body, containers, keyOf, rowOf, drawRow);
  none.hidden = containers.length > 0;
}

// ---- What is asked

let containers = null;

async function look() {
  const [host, all] = await Promise.all([get(`/api/hosts/${id}`), get(`/api/hosts/${id}/containers`, { sort: "container_name", limit: 2_000 })]);
  containers = all;
  drawHost(host);
  drawContainers(containers);
}

async function lookBack() {
  const { series } = await get("/api/trends", { host_ids: id, of: "containers" });
  trends.clear();
  series.forEach((one) => trends.set(keyOf(one), one));
  if (!containers) return false;
  drawContainers(containers);
  return true;
}

page.append(
  silent,
  tags,
  past({ host_id: id }),
  el("section", { "aria-labelledby": "containers-title" }, el("h2", { id: "containers-title" }, t("containers")), none,
    within("containers-title", head, body)),
  el("section", { "aria-labelledby": "facts-title" }, el("h2", { id: "facts-title" }, t("facts")), facts),
);
every(LOOK_S, () => look().catch(lost));
every(PAST_S, lookBack);
