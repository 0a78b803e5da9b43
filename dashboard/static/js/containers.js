// All containers of the fleet: found, sorted, in pages, with the columns that were chosen, and as a file.

import * as address from "./address.js";
import { ask } from "./api.js";
import { csv } from "./csv.js";
import { el, keyed, say } from "./dom.js";
import { empty } from "./empty.js";
import { choice, exact, filters, proposals, search, tags } from "./filters.js";
import { page } from "./frame.js";
import { containerAddress } from "./happened.js";
import { every } from "./loop.js";
import { FIRST, pager, skipped } from "./paging.js";
import { heads, orderOf, row, scrolling } from "./table.js";
import { ago, gib, number, percent, t, time } from "./words.js";

const LOOK_S = 5;
const PROPOSE_S = 60;
const PATH = "/api/containers";
const SIZES = ["50", "100", "250", "500", "1000"];
const yes = (value) => (value === null ? "–" : t(value ? "yes" : "no"));
const plain = (name) => (one) => one[name] ?? "–";

// ---- The columns: their names are the API's, so that a file may have the same ones

const LINKS = { container_name: (one) => containerAddress(one.host_id, one.container_name), host_name: (one) => `/hosts/${one.host_id}` };
const MOMENTS = ["started_at", "sampled_at"];
const SORTED = ["container_name", "host_name", "status", "cpu_percentage", "memory_usage", "memory_percentage"];
const GREATEST = ["cpu_percentage", "memory_usage", "memory_percentage"];
const ALWAYS = "container_name";
const COLUMNS = {
  container_name: plain("container_name"),
  host_name: plain("host_name"),
  status: (one) => one.status || t("unknown"),
  health: plain("health"),
  cpu_percentage: (one) => percent(one.cpu_percentage),
  memory_usage: (one) => gib(one.memory_usage),
  memory_percentage: (one) => percent(one.memory_percentage),
  image: plain("image"),
  started_at: (one) => one.started_at,
  restart_count: (one) => number(one.restart_count),
  exit_code: (one) => `${one.exit_code ?? "–"}`,
  oom_killed: (one) => yes(one.oom_killed),
  cluster_name: plain("cluster_name"),
  node_name: plain("node_name"),
  engine_type: plain("engine_type"),
  container_id: plain("container_id"),
  sampled_at: (one) => one.sampled_at,
  get_datetime: plain("get_datetime"),
};
const USUAL = {
  q: "", status: "", host_name: "", cluster_name: "", node_name: "", engine_type: "", tag: [],
  sort: "host_name", limit: "100", ...FIRST,
  columns: "container_name,host_name,status,cpu_percentage,memory_usage,memory_percentage,image,cluster_name,sampled_at",
};

/** The state in the address; what it cannot be is as usual. */
function state() {
  const given = address.state(USUAL);
  const sort = orderOf(given.sort, SORTED, USUAL.sort);
  const limit = address.oneOf(SIZES, given.limit, USUAL.limit);
  return { ...given, tag: given.tag.filter(Boolean), sort, limit, columns: columnsOf(given.columns) };
}

/** The columns that a text names, in their order. */
function columnsOf(text) {
  const named = text.split(",").filter((name) => Object.hasOwn(COLUMNS, name));
  if (!named.length) return USUAL.columns;
  return Object.keys(COLUMNS).filter((name) => name === ALWAYS || named.includes(name)).join(",");
}

let now = state();
const columns = () => now.columns.split(",");

// ---- What is asked

const FILTERS = ["q", "status", "host_name", "cluster_name", "node_name", "engine_type", "tag"];
const filtered = () => Object.fromEntries(FILTERS.map((name) => [name, now[name]]));

async function look() {
  const asked = now;
  const { data, headers } = await ask("GET", PATH, { ...filtered(), sort: now.sort, limit: now.limit, cursor: now.cursor });
  if (asked !== now) return; // what is asked now is looked for next
  draw(data, headers);
}

async function lookAround() {
  fields.propose(await proposals());
}

function set(changes) {
  const stays = Object.keys(changes).every((name) => name === "columns" || name in FIRST);
  now = { ...now, ...(stays ? {} : FIRST), ...changes };
  address.put(USUAL, now, { step: !("q" in changes && Object.keys(changes).length === 1) });
  if ("cursor" in changes) page.scrollIntoView();
  show();
  again();
}

// ---- The table

const head = heads((name) => t(`column.${name}`), set, { sorts: SORTED, greatest: GREATEST });
const body = el("tbody");
let drawn = "";

function rowOf(one) {
  const made = row(columns());
  columns().forEach((name, place) => LINKS[name] && made.children[place].append(el("a", { href: LINKS[name](one) })));
  return made;
}

function drawMoment(cell, iso) {
  if (cell.dataset.at !== `${iso}`) cell.replaceChildren(time(iso, iso ? ago(iso) : "–"));
  else if (iso) say(cell.firstChild, ago(iso));
  cell.dataset.at = iso;
}

function drawRow(made, one) {
  made.dataset.status = one.status;
  columns().forEach((name, place) => {
    const cell = made.children[place];
    if (MOMENTS.includes(name)) return drawMoment(cell, one[name]);
    const words = COLUMNS[name](one);
    say(LINKS[name] ? cell.firstChild : cell, words);
    if (name === "image" && cell.title !== words) cell.title = words;
  });
}

let rows = [];

function drawBody() {
  if (drawn !== now.columns) {
    body.replaceChildren();
    body.kept = null;
    drawn = now.columns;
  }
  const keyOf = (one) => `${one.host_id}\n${one.engine_type}\n${one.container_name}`;
  keyed(body, rows, keyOf, rowOf, drawRow);
}

function draw(found, headers) {
  rows = found;
  const total = Number(headers.get("X-Total-Count"));
  const before = skipped(now);
  drawBody();
  for (const name of ["cluster_name", "node_name", "engine_type", "status"]) fields.propose({ [name]: rows.map((one) => one[name]) });
  say(count, rows.length ? t("containers.count", { first: before + 1, last: before + rows.length, count: total }) : t("containers.count.none"));
  turn.show(now, headers);
  const bare = fields.count(now) === 0 && !now.cursor;
  table.hidden = rows.length === 0;
  nothing.show(rows.length === 0 && bare);
  none.hidden = rows.length > 0 || bare;
}

// ---- What may be chosen

const fields = filters(
  { q: search("q", set) },
  {
    status: choice("status", set, []),
    host_name: exact("host_name", set),
    cluster_name: exact("cluster_name", set),
    node_name: exact("node_name", set),
    engine_type: exact("engine_type", set),
    tag: tags(set),
  },
  USUAL,
  set,
);

function chooseColumn() {
  const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
  set({ columns: chosen.join(",") });
}

const boxes = Object.keys(COLUMNS).map((value) => {
  const attributes = { type: "checkbox", name: "columns", value, disabled: value === ALWAYS };
  return el("input", { ...attributes, onchange: chooseColumn });
});
const choices = el(
  "details",
  { class: "filters" },
  el("summary", {}, t("columns")),
  el("fieldset", { class: "choice", "aria-label": t("columns") }, ...boxes.map((box) => el("label", {}, box, t(`column.${box.value}`)))),
);
const shown = () => ({ ...filtered(), sort: now.sort, columns: now.columns });
const size = el("select", { onchange: () => set({ limit: size.value }) }, ...SIZES.map((value) => el("option", { value }, number(Number(value)))));
const count = el("p", { class: "count", role: "status" });
const turn = pager(set, "pager");
const table = scrolling({ "aria-label": t("containers") }, head, body);
const nothing = empty("containers.empty");
const none = fields.unfit("containers.unfit");

function show() {
  fields.show(now);
  size.value = now.limit;
  boxes.forEach((box) => (box.checked = columns().includes(box.value)));
  head.show(columns(), now.sort);
  drawBody();
}

page.append(
  fields,
  choices,
  el("div", { class: "tools" }, el("label", { class: "beside" }, t("page.size"), size), ...csv(PATH, shown)),
  count,
  table,
  nothing,
  none,
  turn,
);
address.moved(() => {
  now = state();
  show();
  again();
});
show();
const again = every(LOOK_S, look);
every(PROPOSE_S, lookAround);
