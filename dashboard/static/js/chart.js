// Charts of the past, drawn by Plotly, which is fetched only by the pages that have one.

import { svg } from "./dom.js";
import { language, t } from "./words.js";

const address = document.querySelector('meta[name="charts"]').content;
let plotly = null;

// Of 2026: a Sunday, as weeks of Plotly begin, and the months.
const DAYS = Array.from({ length: 7 }, (_, day) => Date.UTC(2026, 1, 1 + day));
const MONTHS = Array.from({ length: 12 }, (_, month) => Date.UTC(2026, month, 1));
const ORDERS = { ko: { year: "%Y년", month: "%Y년 %-m월", dayMonth: "%-m월 %-d일", dayMonthYear: "%Y년 %-m월 %-d일" } };

/** The page's language as Plotly takes one: the names are the browser's own. */
function locale() {
  const names = (dates, options) => dates.map((date) => new Intl.DateTimeFormat(language, { ...options, timeZone: "UTC" }).format(date));
  const format = {
    days: names(DAYS, { weekday: "long" }),
    shortDays: names(DAYS, { weekday: "short" }),
    months: names(MONTHS, { month: "long" }),
    shortMonths: names(MONTHS, { month: "short" }),
    ...ORDERS[language],
  };
  return { moduleType: "locale", name: language, dictionary: {}, format };
}

/** The library, fetched once. */
function library() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => {
      if (ORDERS[language]) window.Plotly.register(locale()); // English it knows
      resolve(window.Plotly);
    };
    script.onerror = () => {
      plotly = null; // it may be there the next time
      reject(new Error(t("chart.missing")));
    };
    document.head.append(script);
  });
  return plotly;
}

// Beside its colour each line has a pattern of its own.
const DASHES = ["solid", "8px,4px", "2px,3px", "8px,3px,2px,3px", "16px,4px", "16px,3px,2px,3px", "8px,3px,2px,3px,2px,3px", "2px,6px"];
// So few points are drawn as points too: a line needs two.
const FEW = 30;
const STEPS_S = { m: 60, h: 3_600, d: 86_400 };

/** The length of a step in ms; 0 for samples as they came. */
export const stepOf = (step) => (step === "raw" ? 0 : Number(step.slice(0, -1)) * STEPS_S[step.at(-1)] * 1000);

/**
 * How far apart two steps may be without a gap. Where a step holds several samples none is left out; a host that reports
 * about once a step or less often leaves one out now and then.
 */
function longest(points, length) {
  if (points.some((point) => point.samples > 1)) return length * 1.5;
  const apart = points.slice(1).map((point, index) => Date.parse(point.t) - Date.parse(points[index].t)).sort((one, other) => one - other);
  return Math.max(length, apart[Math.floor(apart.length / 2)] ?? 0) * 2.2;
}

const METRIC = ["avg", "min", "max"];

/** A series as columns, with a hole wherever a step is absent: a gap is drawn as a gap. */
export function columns(points, metric, step) {
  const length = stepOf(step);
  const made = { t: [], avg: [], min: [], max: [] };
  const most = longest(points, length);
  let before = null;
  for (const point of points) {
    const at = Date.parse(point.t);
    if (before !== null && length && at - before > most) {
      made.t.push(new Date(before + length));
      for (const name of METRIC) made[name].push(null);
    }
    made.t.push(new Date(at));
    for (const name of METRIC) made[name].push(point[metric]?.[name] ?? null);
    before = at;
  }
  return made;
}

let paper = false;

/** The colours of the theme that is on; on paper those of the light one. */
function theme() {
  const probe = document.createElement("i");
  if (paper) probe.style.colorScheme = "light";
  document.body.append(probe);
  const resolved = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = { text: resolved("--text"), line: resolved("--line"), card: resolved("--card"), marks: resolved("--mark"), series: SERIES.map(resolved) };
  probe.remove();
  return found;
}

/** Whether a finger is what points: it scrolls the page, and zooms once the chart's button Zoom was pressed. */
export const touched = matchMedia("(pointer: coarse)").matches;

const SERIES = Array.from({ length: 8 }, (_, index) => `--series-${index + 1}`);

// As in the style sheet: of a chart this narrow the buttons, the lines and the legend are one below the other.
const narrow = matchMedia("(max-width: 40rem)");
const NARROW = {
  layout: { margin: { l: 48, r: 12, t: 40, b: 36 }, height: 340 },
  legend: { yref: "container", y: 0, yanchor: "bottom" },
  axis: { nticks: 5, tickangle: 0, automargin: true },
};

const KEPT = "kept";

function layout(colours, unit, span, zooms) {
  const axis = { gridcolor: colours.line, linecolor: colours.line, zerolinecolor: colours.line };
  return {
    margin: { l: 48, r: 12, t: 8, b: 36 },
    height: 260,
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: colours.text, family: "system-ui, sans-serif", size: 12 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colours.card, bordercolor: colours.line, font: { color: colours.text }, namelength: 60 },
    ...(narrow.matches && NARROW.layout),
    // A line taken out stays out when the chart is drawn anew, as long as it is there; so does a button that was pressed,
    // for a finger until it has zoomed.
    legend: { orientation: "h", y: 1.12, ...(narrow.matches && NARROW.legend), uirevision: KEPT },
    modebar: { bgcolor: colours.card, color: colours.text, activecolor: colours.series[0], uirevision: touched ? `${zooms}` : KEPT },
    dragmode: touched ? false : "zoom",
    xaxis: { ...axis, type: "date", range: span.map((at) => new Date(at)), ...(narrow.matches && NARROW.axis) },
    yaxis: { ...axis, title: { text: unit }, rangemode: "tozero", fixedrange: true },
  };
}

function lines(series, colours, unit) {
  return series.flatMap(({ name, columns: shown, band }, index) => {
    const colour = colours.series[index % colours.series.length];
    const mode = shown.t.length > FEW ? "lines" : "lines+markers";
    const common = { x: shown.t, type: "scatter", mode, connectgaps: false, legendgroup: name };
    const line = { color: colour, width: 1.75, dash: DASHES[index % DASHES.length] };
    const average = { ...common, uid: `${index} avg`, y: shown.avg, name, marker: { color: colour, size: 5 }, line, hovertemplate: `%{y:.1f} ${unit}` };
    if (!band) return [average];
    const edge = { ...common, mode: "lines", line: { width: 0 }, showlegend: false, legendgroup: `${name} band`, hovertemplate: `%{y:.1f} ${unit}` };
    const fill = colour.replace("rgb(", "rgba(").replace(")", ", 0.2)");
    // In the legend it stands for the whole band, beside the pointer for its lower edge.
    const lower = { name: t("chart.band"), showlegend: true, hovertemplate: `${edge.hovertemplate}<extra>${t("chart.min")}</extra>` };
    return [
      { ...edge, uid: `${index} max`, y: shown.max, name: t("chart.max") },
      { ...edge, ...lower, uid: `${index} min`, y: shown.min, fill: "tonexty", fillcolor: fill },
      average,
    ];
  });
}

/** A piece of the line at some place among others, for a legend of one's own. */
export function swatch(index) {
  const dashes = DASHES[index % DASHES.length];
  const line = svg("line", { x1: 0, x2: 28, y1: 4, y2: 4, "stroke-dasharray": dashes === "solid" ? null : dashes });
  return svg("svg", { class: "swatch", "data-series": index % SERIES.length, viewBox: "0 0 28 8", "aria-hidden": "true" }, line);
}

function marks(events, colours) {
  // Of a text Plotly leaves out the zone; a date it shows in the viewer's.
  const moments = events.map(({ at }) => new Date(at));
  const shapes = moments.map((at) => ({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: colours.marks, width: 1, dash: "dot" } }));
  const trace = {
    uid: "events", x: moments, y: events.map(() => 0), text: events.map(({ words }) => words), name: t("chart.events"),
    type: "scatter", mode: "markers", marker: { symbol: "triangle-up", size: 9, color: colours.marks }, hovertemplate: "%{text}<extra></extra>",
  };
  return { shapes, traces: events.length ? [trace] : [] };
}

// No button and no address to send a chart to: what a fleet does is nobody else's business.
const REMOVED = ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud"];
const CONFIG = { locale: language, responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "", modeBarButtonsToRemove: REMOVED };

/** What Plotly would read as markup in a name stays a name. */
export const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** A moment as Plotly writes it: in the viewer's zone, and a midnight without its time, which would be read as UTC. */
const read = (at) => new Date(/^\d+-\d+-\d+$/.test(at) ? `${at} 00:00` : at);

/**
 * Draws series `[{name, columns, band}]` with events `[{at, words}]` into a node; `zoomed` is called with the two moments
 * that a drag chose, or with null when a double click lets go of them.
 */
export async function chart(node, given) {
  await library();
  node.given = given;
  node.zooms ??= 0;
  await draw(node);
  if (!given.zoomed || node.heard) return;
  node.heard = true;
  node.on("plotly_relayout", (change) => relaid(node, change));
}

/** Tells of a zoom and counts it: where a finger points, the next drawing lets go of the button. */
function relaid(node, change) {
  const [from, to, all] = ["range[0]", "range[1]", "autorange"].map((name) => change[`xaxis.${name}`]);
  if (!from && !all) return;
  node.zooms += 1;
  node.given.zoomed(all ? null : [from, to].map(read));
}

function draw(node) {
  const { series, events = [], unit, span, legend = true } = node.given;
  const colours = theme();
  const { shapes, traces } = marks(events, colours);
  const all = [...lines(series, colours, unit), ...traces];
  return window.Plotly.react(node, all, { ...layout(colours, unit, span, node.zooms), shapes, showlegend: legend }, CONFIG);
}

const again = () => document.querySelectorAll(".js-plotly-plot").forEach(draw);
narrow.addEventListener("change", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("themechange", again);
for (const moment of ["beforeprint", "afterprint"]) {
  addEventListener(moment, () => {
    paper = moment === "beforeprint";
    again();
  });
}
