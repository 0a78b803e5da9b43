// What happened to hosts and containers, as sentences.

import { el } from "./dom.js";
import { known, t, time } from "./words.js";

/** Where a container's page is; null, so no link, of a name that browsers take for a step in the path, however it is encoded. */
export const containerAddress = (hostId, name) => ([".", ".."].includes(name) ? null : `/hosts/${hostId}/containers/${encodeURIComponent(name)}`);

/** What tells an event from all others. */
export const key = (event) => [event.host_id, event.at, event.kind, event.engine_type, event.container_name].join("\n");

/** What an event says, without who and when. */
export function what(event) {
  const from = event.from ?? t("unknown");
  const to = event.to ?? t("unknown");
  const name = `event.${event.kind}`;
  return known(name) ? t(name, { from, to }) : event.kind;
}

/** An event as an entry of a list. */
export function entry(event) {
  const host = el("a", { href: `/hosts/${event.host_id}` }, event.host_name);
  const name = event.container_name;
  const container = name && el("a", { href: containerAddress(event.host_id, name) }, name);
  return el("li", { "data-kind": event.kind }, time(event.at), " ", host, ...(container ? [" / ", container] : []), " ", el("span", {}, what(event)));
}
