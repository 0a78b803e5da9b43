// Up to eight hosts and containers as lines of one chart.

import { get, Refusal } from "./api.js";
import { chart, columns, plain, swatch } from "./chart.js";
import { el, keyed, say } from "./dom.js";
import { containerAddress } from "./happened.js";
import { span } from "./range.js";
import { suggest } from "./suggest.js";
import { scrolling, titles } from "./table.js";
import { gib, percent, t } from "./words.js";

const MOST = 8;
const OFFERS = 8;
export const METRICS = { cpu_percentage: ["%", percent], memory_usage: ["GiB", gib] };

/** What `3` or `3/name` stands for: a host, or a container of it. */
function parsed(of) {
  const [, host, container] = /^(\d+)(?:\/(.+))?$/s.exec(of) ?? [];
  return { of, host, container };
}

/** Where its page is; an address that stands for nothing has none. */
const pageOf = ({ host, container }) => host && (container ? containerAddress(host, container) : `/hosts/${host}`);

// ---- What can be chosen

const hostOffer = (one) => ({ kind: "host", label: one.host_name, of: `${one.id}` });

function containerOffer({ host_id: id, host_name: host, container_name: name }) {
  return { kind: "container", label: `${host} / ${name}`, of: `${id}/${name}` };
}

/** Hosts and containers by a part of their name; `host/part` means containers of that host. */
async function find(text) {
  const cut = text.indexOf("/");
  const within = cut > 0 ? { host_name: text.slice(0, cut), q: text.slice(cut + 1), limit: OFFERS, sort: "container_name" } : null;
  const asked = [
    get("/api/hosts", { q: text, limit: OFFERS }),
    get("/api/containers", { q: text, limit: OFFERS, sort: "container_name" }),
    within ? get("/api/containers", within) : [],
  ];
  const [hosts, containers, inside] = await Promise.all(asked);
  const offers = [...hosts.map(hostOffer), ...[...inside, ...containers].map(containerOffer)];
  return [...new Map(offers.map((offer) => [offer.of, offer])).values()];
}

// ---- What is asked

const names = new Map();

/** One line: its name and its points, none for what this server does not know. */
async function line(one, metric, from, to) {
  if (!one.host) return { ...one, history: null };
  try {
    if (!names.has(one.host)) names.set(one.host, (await get(`/api/hosts/${one.host}`)).host_name);
    const history = await get("/api/history", { host_id: one.host, container_name: one.container, from, to, metrics: metric });
    return { ...one, history };
  } catch (error) {
    if (error instanceof Refusal && [404, 422].includes(error.status)) return { ...one, history: null };
    throw error;
  }
}

function label(one) {
  const host = names.get(one.host) ?? t("compare.host", { id: one.host ?? one.of });
  return one.container ? `${host} / ${one.container}` : host;
}

/** Average, least and greatest value of a line's points. */
function sums(points, metric) {
  const known = points.filter((point) => (point[metric]?.avg ?? null) !== null);
  const samples = known.reduce((sum, point) => sum + point.samples, 0);
  if (!samples) return [null, null, null];
  const average = known.reduce((sum, point) => sum + point[metric].avg * point.samples, 0) / samples;
  return [average, Math.min(...known.map((point) => point[metric].min)), Math.max(...known.map((point) => point[metric].max))];
}

// ---- The part of the page

/** `choose` is called with what changes in the state. */
export function together(choose) {
  let chosen = [];
  const told = el("p", { class: "warning", role: "status", hidden: true });
  const hint = el("p", { class: "note" }, t("compare.none"));
  const chips = el("ul", { class: "tags", "aria-label": t("compare.chosen") });
  const box = suggest(t("compare.search"), find, add);
  const node = el("div", { class: "chart", role: "group" });
  const caption = el("figcaption");
  const body = el("tbody");
  const head = titles(["name", "avg", "min", "max"], (column) => t(`compare.${column}`));
  const values = scrolling({ "aria-label": t("compare.values") }, head, body);
  const figure = el("figure", {}, caption, node, values);
  const radio = (metric) => el("input", { type: "radio", name: "metric", value: metric, onchange: () => choose({ metric }) });
  const inputs = Object.keys(METRICS).map(radio);
  const labels = inputs.map((input) => el("label", {}, input, t(`compare.${input.value}`)));
  const metrics = el("fieldset", { class: "choice" }, el("legend", {}, t("compare.metric")), ...labels);

  function warn(words) {
    say(told, words);
    told.hidden = !words;
  }

  function add({ of }) {
    if (chosen.includes(of)) return;
    if (chosen.length >= MOST) warn(t("compare.most", { count: MOST }));
    else choose({ of: [...chosen, of] });
  }

  function remove(of) {
    choose({ of: chosen.filter((one) => one !== of) });
    box.querySelector("input").focus();
  }

  function chip(one) {
    return el("li", { class: "chip" }, el("a", { href: pageOf(one) }), el("button", { type: "button", onclick: () => remove(one.of) }, "×"));
  }

  function drawChips() {
    keyed(chips, chosen.map(parsed), (one) => one.of, chip, (item, one) => {
      say(item.firstChild, label(one));
      item.lastChild.setAttribute("aria-label", t("compare.remove", { name: label(one) }));
    });
  }

  function drawValues(lines, metric) {
    const [, words] = METRICS[metric];
    const cellsOf = ({ history }) => {
      if (!history) return [el("td", { colspan: 3 }, t("compare.unknown"))];
      return sums(history.points, metric).map((value) => el("td", {}, words(value)));
    };
    const rowOf = (one, index) => el("tr", {}, el("th", { scope: "row" }, swatch(index), label(one)), ...cellsOf(one));
    body.replaceChildren(...lines.map(rowOf));
  }

  function zoomed(moments) {
    choose(moments ? { range: "", from: moments[0].toISOString(), to: moments[1].toISOString() } : { range: "24h", from: "", to: "" });
  }

  function show(now) {
    const all = [...new Set(now.of)];
    chosen = all.slice(0, MOST);
    warn(all.length > MOST ? t("compare.many", { count: all.length, most: MOST }) : "");
    hint.hidden = chosen.length > 0;
    figure.hidden = chosen.length === 0;
    inputs.forEach((input) => (input.checked = input.value === now.metric));
    drawChips();
  }

  async function look(now) {
    if (!chosen.length) return;
    const { metric } = now;
    const ends = span(now);
    const [from, to] = ends.map((at) => new Date(at).toISOString());
    const lines = await Promise.all(chosen.map((one) => line(parsed(one), metric, from, to)));
    drawChips();
    say(caption, t(`chart.${metric}`));
    node.setAttribute("aria-label", t("compare.chart", { metric: t(`chart.${metric}`), names: lines.map(label).join(", ") }));
    drawValues(lines, metric);
    const pointsOf = ({ history }) => columns(history?.points ?? [], metric, history?.step ?? "raw");
    const series = lines.map((one) => ({ name: plain(label(one)), columns: pointsOf(one) }));
    await chart(node, { series, unit: METRICS[metric][0], span: ends, zoomed, legend: false });
  }

  const title = el("h2", { id: "together-title" }, t("compare.together"));
  const tools = el("div", { class: "tools" }, box, metrics);
  return { look, show, node: el("section", { "aria-labelledby": "together-title" }, title, tools, told, chips, hint, figure) };
}
