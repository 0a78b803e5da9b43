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

function kindOf(host, by) {
  if (host.status === "offline") return "offline";
  return by === "state" ? "online" : band(host[by]);
}

function sign(host, by, roomy) {
  if (host.status === "offline") return "×";
  const value = by === "state" ? null : host[by];
  if (roomy && value !== null) return number(value);
  return value >= BANDS.at(-1) ? "!" : "";
}

function words(host) {
  const memory = `${t("memory")} ${percent(host.memory_percentage)}`;
  return `${host.host_name}: ${t(`status.${host.status}`)}, CPU ${percent(host.cpu_percentage)}, ${memory}`;
}

const cellOf = (host) => el("li", {}, el("a", { href: `/hosts/${host.id}`, tabindex: -1 }));

function drawCell(link, host, by, roomy) {
  const kind = `${kindOf(host, by)}`;
  const title = words(host);
  if (link.dataset.kind !== kind) link.dataset.kind = kind;
  if (link.title !== title) link.title = title;
  say(link, sign(host, by, roomy));
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
  const legend = el("p", { class: "legend" }, t("grid.legend"));
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
    cells.dataset.roomy = roomy;
    const all = [...hosts.values()].sort((one, other) => compare(one.host_name, other.host_name));
    keyed(cells, all, (host) => host.id, cellOf, draw);
    if (!cells.querySelector('[tabindex="0"]')) cells.querySelector("a")?.setAttribute("tabindex", 0);
  };
  return node;
}
