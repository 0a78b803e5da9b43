// What happened in the fleet, the newest first: of some kind, host or container, in a span of time, in pages and as a file.

import * as address from "./address.js";
import { ask } from "./api.js";
import { csv } from "./csv.js";
import { el, keyed, say } from "./dom.js";
import { empty } from "./empty.js";
import { choice, exact, filters, proposals } from "./filters.js";
import { page } from "./frame.js";
import { entry, key } from "./happened.js";
import { every } from "./loop.js";
import { FIRST, pager, skipped } from "./paging.js";
import { moments, picker, span } from "./range.js";
import { t } from "./words.js";

const LOOK_S = 5;
const PROPOSE_S = 60;
const PATH = "/api/events";
const LIMIT = "100";
const KINDS = ["first_seen", "vanished", "returned", "status", "restarted", "image", "dark", "back"];
const USUAL = { kind: "", host_name: "", container_name: "", range: "24h", from: "", to: "", ...FIRST };

/** The state in the address; a kind that there is not is none. */
function state() {
  const given = address.state(USUAL);
  return { ...given, kind: address.oneOf(KINDS, given.kind, USUAL.kind) };
}

let now = state();

// ---- What is asked

/** The parameters of the list; up to now means up to the newest there is, whatever the browser's clock says. */
function filtered() {
  const [from, to] = span(now).map((at) => new Date(at).toISOString());
  const { kind, host_name, container_name } = now;
  return { kind, host_name, container_name, from, to: moments(now) ? to : "" };
}

async function look() {
  const asked = now;
  const { data, headers } = await ask("GET", PATH, { ...filtered(), limit: LIMIT, cursor: now.cursor });
  if (asked !== now) return; // what is asked now is looked for next
  draw(data, headers);
}

async function lookAround() {
  const { host_name } = await proposals();
  fields.propose({ host_name });
  never = host_name.length === 0;
  drawNothing();
}

function set(changes) {
  now = { ...now, ...FIRST, ...changes };
  address.put(USUAL, now);
  if ("cursor" in changes) page.scrollIntoView();
  show();
  again();
}

// ---- The list

const list = el("ol", { class: "happened", id: "events" });
// Whether the list is empty, and whether it must be; null until it is known.
let bare = null;
let never = null;

/** Draws so that what is read stays where it is, though newer entries come above it. */
function inPlace(work) {
  const read = list.getBoundingClientRect().top < 0 && [...list.children].find((one) => one.getBoundingClientRect().top >= 0);
  const before = read && read.getBoundingClientRect().top;
  work();
  if (read?.isConnected) scrollBy(0, read.getBoundingClientRect().top - before);
}

function draw(events, headers) {
  inPlace(() => keyed(list, events, key, entry, () => {}));
  fields.propose({ container_name: events.map((event) => event.container_name) });
  const before = skipped({ ...now, limit: LIMIT });
  say(count, events.length ? t("events.count", { first: before + 1, last: before + events.length }) : t("events.count.none"));
  turn.show(now, headers);
  bare = events.length === 0;
  drawNothing();
}

/** What stands there instead of a list: where there is no host at all, no filter is to blame. */
function drawNothing() {
  if (bare === null || never === null) return;
  nothing.show(bare && never);
  none.hidden = !bare || never;
  none.lastChild.hidden = fields.count(now) === 0;
}

// ---- What may be chosen

const fields = filters(
  {},
  {
    kind: choice("kind", set, KINDS, (kind) => t(`kind.${kind}`)),
    host_name: exact("host_name", set, { "data-search": true }),
    container_name: exact("container_name", set),
  },
  USUAL,
  set,
);
const ranges = picker(now, set);
const count = el("p", { class: "count", role: "status" });
const turn = pager(set, "events");
const nothing = empty("events.empty");
const none = fields.unfit("events.unfit");

function show() {
  fields.show(now);
  ranges.show(now);
}

page.append(ranges, fields, el("div", { class: "tools" }, ...csv(PATH, filtered)), count, list, nothing, none, turn);
address.moved(() => {
  now = state();
  show();
  again();
});
show();
const again = every(LOOK_S, look);
every(PROPOSE_S, lookAround);
