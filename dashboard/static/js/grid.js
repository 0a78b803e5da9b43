// Every host as a coloured cell, whose sign and title say what the colour says.

import { el, keyed, say } from "./dom.js";
import { compare } from "./table.js";
import { number, percent, t } from "./words.js";

// A cell has room for its number while there are not more hosts than this.
const ROOMY = 150;
const BANDS = [20, 40, 60, 80, 90];
/** What cells may be coloured by. */
export const COLOURS = ["cpu_percentage", "memory_percentage", "state"];

const band = (value) => (value === null ? "none" : BANDS.filter((edge) => value >= edge).length);

/** How a host and its containers are; what is not `running` has ended, restarts or is paused. */
function stateOf({ status, containers_count: count, containers_running: running }) {
  if (status === "offline" || running === count) return status;
  return running ? "partly" : "idle";
}

function kindOf(host, by) {
  if (by === "state" || host.status === "offline") return stateOf(host);
  return `${band(host[by])}`;
}

const SIGNS = { offline: "×", idle: "○", partly: "◐" };

/** What a cell says for those who do not tell its colour; `!` is the last band where there is no room for a number. */
function sign(host, kind, by, roomy) {
  if (kind in SIGNS) return SIGNS[kind];
  const value = host[by] ?? null;
  if (roomy && value !== null) return number(value);
  return value >= BANDS.at(-1) ? "!" : "";
}

function containersWords({ containers_count: count, containers_running: running }) {
  return count ? t(running ? "grid.running" : "grid.idle", { running, count }) : t("grid.bare");
}

function words(host) {
  const load = [`CPU ${percent(host.cpu_percentage)}`, `${t("memory")} ${percent(host.memory_percentage)}`];
  const containers = host.status === "online" ? [containersWords(host)] : [];
  return `${host.host_name}: ${[t(`status.${host.status}`), ...containers, ...load].join(", ")}`;
}

const cellOf = (host) => el("li", {}, el("a", { href: `/hosts/${host.id}`, tabindex: -1 }));

function drawCell(link, host, by, roomy) {
  const kind = kindOf(host, by);
  const title = words(host);
  if (link.dataset.kind !== kind) link.dataset.kind = kind;
  if (link.title !== title) {
    link.title = title;
    link.ariaLabel = title;
  }
  say(link, sign(host, kind, by, roomy));
}

/** Arrow keys move through the grid: one stop for the Tab key, not a thousand. */
function step(event) {
  const cells = [...event.currentTarget.querySelectorAll("a")];
  const at = cells.indexOf(event.target);
  const wide = Math.max(1, cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length);
  const ends = { Home: -at, End: cells.length - 1 - at };
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide, ArrowUp: -wide, ...ends }[event.key];
  const next = by === undefined ? undefined : cells[at + by];
  if (at < 0 || !next) return;
  event.preventDefault();
  event.target.setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

/** The part of the fleet's page; `choose` is called with what changes in its state. */
export function grid(choose) {
  const cells = el("ul", { class: "grid", "aria-label": t("grid"), onkeydown: step });
  const inputs = COLOURS.map((value) => el("input", { type: "radio", name: "by", value, onchange: () => choose({ by: value }) }));
  const labels = inputs.map((input) => el("label", {}, input, t(`by.${input.value}`)));
  const choice = el("fieldset", { class: "choice" }, el("legend", {}, t("by")), ...labels);
  const title = el("h2", { id: "grid-title" }, t("grid"));
  const legend = el("p", { class: "legend" });
  const node = el("section", { "aria-labelledby": "grid-title" }, title, choice, cells, legend);

  /** Draws all hosts, or of the same ones those that changed. */
  node.draw = (hosts, by, changed) => {
    const roomy = hosts.size <= ROOMY;
    const draw = (cell, host) => drawCell(cell.firstChild, host, by, roomy);
    if (changed?.every((id) => cells.kept?.has(id))) {
      changed.forEach((id) => draw(cells.kept.get(id), hosts.get(id)));
      return;
    }
    inputs.forEach((input) => (input.checked = input.value === by));
    say(legend, t(by === "state" ? "grid.legend.state" : "grid.legend"));
    cells.dataset.roomy = roomy;
    const all = [...hosts.values()].sort((one, other) => compare(one.host_name, other.host_name));
    keyed(cells, all, (host) => host.id, cellOf, draw);
    if (!cells.querySelector('[tabindex="0"]')) cells.querySelector("a")?.setAttribute("tabindex", 0);
  };
  return node;
}
