// Hosts and containers beside each other, and two moments: the ends of one span, over which the lines go.

import * as address from "./address.js";
import { difference } from "./difference.js";
import { el } from "./dom.js";
import { page } from "./frame.js";
import { every } from "./loop.js";
import { moments, picker } from "./range.js";
import { METRICS, together } from "./together.js";
import { t } from "./words.js";

const AGAIN_S = 60;
const USUAL = { range: "24h", from: "", to: "", of: [], metric: "cpu_percentage", host: "", rows: "20" };

const ID = /^[1-9]\d{0,17}$/;

/** The state in the address; what it cannot be is as usual. */
function state() {
  const given = address.state(USUAL);
  const metric = address.oneOf(Object.keys(METRICS), given.metric, USUAL.metric);
  const rows = address.countOf(given.rows, USUAL.rows);
  return { ...given, metric, rows, host: ID.test(given.host) ? given.host : USUAL.host };
}

let now = state();
let seen = null;
const ranges = picker(now, set);
const parts = [together(set), difference(set)];

async function look() {
  // Two moments of the past stay what they were; a span up to now goes on.
  const asked = JSON.stringify(now);
  if (moments(now) && asked === seen) return false;
  await Promise.all(parts.map((part) => part.look(now)));
  seen = asked;
  return true;
}

function set(changes) {
  now = { ...now, ...changes };
  address.put(USUAL, now);
  show();
}

function show() {
  ranges.show(now);
  parts.forEach((part) => part.show(now));
  again();
}

page.append(el("p", { class: "note" }, t("compare.intro")), ranges, ...parts.map((part) => part.node));
parts.forEach((part) => part.show(now));
const again = every(AGAIN_S, look);
address.moved(() => {
  now = state();
  show();
});
