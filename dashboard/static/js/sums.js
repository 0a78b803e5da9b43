// The fleet's sums as cards: hosts, containers, CPU and memory, now and over the last hour.

import { el, keyed, say } from "./dom.js";
import { draw, spark } from "./spark.js";
import { gib, number, percent, t } from "./words.js";

/** How many containers are in each state but `running`. */
function others(containers) {
  const rest = Object.entries(containers).filter(([word]) => word !== "running");
  return rest.map(([word, count]) => `${number(count)} ${word || t("unknown")}`).join(", ");
}

/** What the cards say: name, value, what stands beside it, and the last hour where there is one. */
function cards(totals, past) {
  const { hosts, containers } = totals;
  const cores = totals.cpu_cores ? t("sum.cpu.beside", { count: totals.cpu_cores }) : "";
  const known = { used: gib(totals.memory_usage), all: gib(totals.memory_total) };
  const memory = totals.memory_total ? t("sum.memory.beside", known) : "";
  return [
    ["hosts", number(hosts.online), t("sum.hosts.beside", { count: hosts.offline })],
    ["containers", number(containers.running ?? 0), others(containers)],
    ["cpu", percent(totals.cpu_percentage), cores, past?.cpu_percentage ?? []],
    ["memory", percent(totals.memory_percentage), memory, past?.memory_percentage ?? []],
  ];
}

function cardOf([name, , , trend]) {
  const chart = trend ? spark(t(`sum.${name}.trend`)) : null;
  return el("div", { class: "card" }, el("dt", {}, t(`sum.${name}`)), el("dd", {}, el("b"), el("small"), chart));
}

function drawCard(node, [, value, beside, trend]) {
  say(node.querySelector("b"), value);
  say(node.querySelector("small"), beside);
  if (trend) draw(node.querySelector("svg"), trend);
}

/** The part of the fleet's page. */
export function sums() {
  const node = el("dl", { class: "sums" });
  node.draw = (totals, past) => keyed(node, cards(totals, past), ([name]) => name, cardOf, drawCard);
  return node;
}
