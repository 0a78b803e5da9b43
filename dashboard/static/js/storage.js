// What the database takes: how large it is and may become, how long what is kept, and what each table holds.

import { get, securityMode, token } from "./api.js";
import { el, keyed, say, svg } from "./dom.js";
import { page } from "./frame.js";
import { every } from "./loop.js";
import { titles, within } from "./table.js";
import { bytes, known, number, percent, t, time } from "./words.js";

// The server measures no more often than every five minutes.
const LOOK_S = 60;
const DAY_MS = 86_400_000;
const AHEAD_DAYS = [7, 30, 90, 365];
// What is further away than a century is no forecast, and may be no date.
const FAR_DAYS = 36_500;
const KEPT = {
  reports: "retention_raw_days",
  containers: "retention_raw_days",
  rollup_60: "retention_1m_days",
  rollup_600: "retention_10m_days",
  rollup_3600: "retention_1h_days",
  events: "events_retention_days",
};

// The settings in force, which are told to admins; null: not to whoever looks.
let settings = null;

const daysKept = (table) => settings?.[KEPT[table.name]]?.value ?? null;

/** A bar beside its number, which says the same. */
function bar() {
  const attributes = { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" };
  return svg("svg", attributes, svg("rect", { height: 8 }));
}

function drawBar(node, share, kind = "") {
  node.firstChild.setAttribute("width", Math.min(Math.max(share, 0), 1) * 100);
  node.dataset.kind = kind;
}

// ---- How large, and how fast it grows

const sums = el("dl", { class: "sums" });
const measured = el("p", { class: "note" });

const signed = (value) => `${value < 0 ? "−" : "+"}${bytes(Math.abs(value))}`;

function until(storage) {
  if (storage.limit_bytes === null) return ["–", t("storage.no-limit")];
  if (storage.days_until_limit === null || storage.days_until_limit > FAR_DAYS) return [t("storage.never"), t("storage.never.beside")];
  const days = storage.days_until_limit;
  const at = new Date(Date.parse(storage.measured_at) + days * DAY_MS);
  return [t("storage.days", { count: Math.round(days) }), el("span", {}, t("storage.until.beside"), " ", time(at.toISOString()))];
}

function used({ used_bytes: size, limit_bytes: limit }) {
  const share = limit && size / limit;
  const beside = limit === null ? t("storage.no-limit") : t("storage.of", { share: percent(share * 100), limit: bytes(limit) });
  return { name: "used", value: bytes(size), beside, share };
}

function guard({ guard: kind }) {
  const mark = ["over", "exhausted"].includes(kind) ? "▲ " : "";
  const value = mark + t(`storage.guard.${kind}`);
  return { name: "guard", value, beside: t(`storage.guard.${kind}.beside`), kind };
}

function drawSums(storage) {
  const [left, when] = until(storage);
  const cards = [
    used(storage),
    { name: "growth", value: signed(storage.growth_bytes_per_day), beside: t("storage.growth.beside") },
    { name: "until", value: left, beside: when },
    guard(storage),
  ];
  keyed(sums, cards, (card) => card.name, cardOf, drawCard);
  measured.replaceChildren(t("storage.measured"), " ", time(storage.measured_at));
}

function cardOf(card) {
  const inside = [el("b"), el("small"), card.name === "used" ? bar() : null];
  return el("div", { class: "card" }, el("dt", {}, t(`storage.${card.name}`)), el("dd", {}, ...inside));
}

function drawCard(node, card) {
  node.dataset.kind = card.kind ?? "";
  say(node.querySelector("b"), card.value);
  node.querySelector("small").replaceChildren(card.beside);
  const drawn = node.querySelector("svg");
  if (!drawn) return;
  drawn.classList.toggle("absent", !card.share);
  drawBar(drawn, card.share ?? 0, card.share >= 0.9 ? "high" : "");
}

// ---- What becomes of it

const ahead = el("tbody");
const howAhead = el("p", { class: "note" });

/** A table grows until what it holds is as old as it is kept; where nobody says how long that is, it goes on. */
function growing(table, days) {
  const kept = daysKept(table);
  if (!kept || !table.oldest) return days;
  const age = (Date.now() - Date.parse(table.oldest)) / DAY_MS;
  return Math.min(days, Math.max(kept - age, 0));
}

function expectedIn(days, storage) {
  const grown = storage.tables.map((table) => table.growth_bytes_per_day * growing(table, days));
  return { days, size: Math.max(grown.reduce((sum, one) => sum + one, storage.used_bytes), 0) };
}

function aheadOf({ days }) {
  const share = el("td", {}, bar(), el("span"));
  return el("tr", {}, el("th", { scope: "row" }, t("storage.days", { count: days })), el("td", { class: "size" }), share);
}

function shareWords(size, limit) {
  if (limit === null) return "";
  return size > limit ? `▲ ${t("storage.over")}` : t("storage.of.limit", { share: percent((size / limit) * 100) });
}

function drawAhead(storage) {
  const limit = storage.limit_bytes;
  const expected = AHEAD_DAYS.map((days) => expectedIn(days, storage));
  const most = limit ?? Math.max(...expected.map(({ size }) => size), 1);
  keyed(ahead, expected, ({ days }) => days, aheadOf, (row, { size }) => {
    say(row.children[1], bytes(size));
    drawBar(row.querySelector("svg"), size / most, limit !== null && size > limit ? "high" : "");
    say(row.lastChild.lastChild, shareWords(size, limit));
  });
  say(howAhead, settings ? t("storage.ahead.kept") : t("storage.ahead.on"));
}

// ---- Each table

const body = el("tbody");
const COLUMNS = [
  ["rows", (table) => `${table.rows_estimated ? "≈ " : ""}${number(table.rows)}`],
  ["bytes", (table) => bytes(table.bytes)],
  ["share", null],
  ["bytes_per_sample", (table) => (table.bytes_per_sample === null ? "–" : `${number(table.bytes_per_sample, 1)} B`)],
  ["growth", (table) => (table.growth_bytes_per_day ? signed(table.growth_bytes_per_day) : "–")],
  ["oldest", (table) => time(table.oldest)],
  ["newest", (table) => time(table.newest)],
  ["kept", (table) => keptWords(table)],
];

function keptWords(table) {
  const kept = daysKept(table);
  if (kept === null) return "–";
  return kept ? t("storage.days", { count: kept }) : t("storage.for-ever");
}

function rowOf(table) {
  const name = `storage.table.${table.name}`;
  const words = known(name) ? [t(name), " ", el("code", {}, table.name)] : [el("code", {}, table.name)];
  const cells = COLUMNS.map(([column]) => el("td", { class: column }, ...(column === "share" ? [bar(), el("span")] : [])));
  const row = el("tr", {}, el("th", { scope: "row" }, ...words), ...cells);
  if (KEPT[table.name]) row.lastChild.title = `[monitoring] ${KEPT[table.name]}`;
  return row;
}

function drawTables(storage) {
  const all = storage.tables.reduce((sum, table) => sum + table.bytes, 0) || 1;
  const ordered = [...storage.tables].sort((one, other) => other.bytes - one.bytes);
  keyed(body, ordered, (table) => table.name, rowOf, (row, table) => {
    COLUMNS.forEach(([column, words], place) => {
      const cell = row.children[place + 1];
      if (column !== "share") return cell.replaceChildren(words(table));
      drawBar(cell.firstChild, table.bytes / all);
      say(cell.lastChild, percent((table.bytes / all) * 100));
    });
  });
}

// ---- The page

let asked = null;

/** The settings are fetched once, as they change with a start of the server alone, and not by whom they are refused. */
async function lookAtSettings() {
  if ((await securityMode()) === "enforce" && ["viewer", "read"].includes(token.role())) return;
  try {
    settings = (await get("/config")).monitoring;
  } catch (error) {
    if (!error.final) asked = null; // the next look may get them
  }
}

async function look() {
  const storage = await get("/api/storage");
  asked ??= lookAtSettings(); // only now is it known who looks
  await asked;
  drawSums(storage);
  drawAhead(storage);
  drawTables(storage);
}

const heads = (names) => titles(names, (name) => t(`storage.${name}`));

page.append(
  sums,
  measured,
  el("section", { "aria-labelledby": "ahead-title" }, el("h2", { id: "ahead-title" }, t("storage.ahead")), howAhead,
    within("ahead-title", heads(["in", "size", "share.limit"]), ahead)),
  el("section", { "aria-labelledby": "tables-title" }, el("h2", { id: "tables-title" }, t("storage.tables")),
    within("tables-title", heads(["table", ...COLUMNS.map(([name]) => name)]), body)),
);
every(LOOK_S, look);
