// The charts of one host or container: CPU and memory over a span, with what happened meanwhile.

import * as address from "./address.js";
import { ask, cursor, get } from "./api.js";
import { chart, columns, plain, stepOf, touched } from "./chart.js";
import { el, say } from "./dom.js";
import { what } from "./happened.js";
import { every } from "./loop.js";
import { picker, span } from "./range.js";
import { lengthOf, t } from "./words.js";

const USUAL = { range: "1h", from: "", to: "" };
const METRICS = [["cpu_percentage", "%"], ["memory_usage", "GiB"]];
const MOST_EVENTS = 200;
// A span is looked at again as often as its steps go by, but no more often than this.
const AGAIN_S = 30;

/** The part of a page with the charts; `whose` are the parameters that name the series. */
export function past(whose) {
  let now = address.state(USUAL);
  const [counts, advice] = [el("span"), el("span", { class: "advice" })];
  const note = el("p", { class: "note", role: "status" }, counts, " ", advice);
  const figures = METRICS.map(([metric]) => {
    const node = el("div", { class: "chart", role: "group", "aria-label": t(`chart.${metric}`) });
    return { metric, node, figure: el("figure", {}, el("figcaption", {}, t(`chart.${metric}`)), node) };
  });
  const ranges = picker(now, set);

  async function look() {
    const [first, last] = span(now);
    const [from, to] = [first, last].map((at) => new Date(at).toISOString());
    const [history, { data: events, headers }] = await Promise.all([
      get("/api/history", { ...whose, from, to, metrics: METRICS.map(([metric]) => metric).join(",") }),
      ask("GET", "/api/events", { ...whose, from, to, limit: MOST_EVENTS }),
    ]);
    const start = performance.now();
    told(history, cursor(headers) !== null);
    await draw(history, events, [first, last]);
    performance.clearMeasures("charts");
    performance.measure("charts", { start });
  }

  async function draw(history, events, asked) {
    const marks = events.map((event) => ({ at: event.at, words: plain([event.container_name, what(event)].filter(Boolean).join(": ")) }));
    for (const [index, [metric, unit]] of METRICS.entries()) {
      const series = [{ name: t("chart.avg"), columns: columns(history.points, metric, history.step), band: stepOf(history.step) > 0 }];
      await chart(figures[index].node, { series, events: marks, unit, span: asked, zoomed });
    }
  }

  function told({ step, points }, more) {
    const counted = stepOf(step) ? t("chart.step", { step: lengthOf(step), count: points.length }) : t("chart.raw", { count: points.length });
    const words = [points.length ? `${counted}.` : t("chart.empty"), more && t("chart.newest", { count: MOST_EVENTS })];
    say(counts, words.filter(Boolean).join(" "));
    say(advice, points.length ? t(touched ? "chart.zoom.touch" : "chart.zoom") : "");
  }

  function zoomed(moments) {
    if (!moments) set(USUAL);
    else set({ range: "", from: moments[0].toISOString(), to: moments[1].toISOString() });
  }

  function set(changes) {
    now = { ...now, ...changes };
    address.put(USUAL, now);
    ranges.show(now);
    again();
  }

  address.moved(() => {
    now = address.state(USUAL);
    ranges.show(now);
    again();
  });
  const again = every(AGAIN_S, look);
  return el("section", { "aria-label": t("past") }, ranges, note, ...figures.map(({ figure }) => figure));
}
