// What a list is filtered by: fields, a choice, tags. Each calls back with what changes in the page's state.

import { get } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { t } from "./words.js";

const RESTS_MS = 250;
const TYPED = /^(insertText|insertCompositionText|insertFromPaste|delete)/;

/** What hosts, tags and statuses there are: to be proposed. */
export async function proposals() {
  const { hosts, totals } = await get("/api/fleet");
  return {
    host_name: hosts.map((host) => host.host_name).sort(),
    tag: [...new Set(hosts.flatMap((host) => host.tags))].sort(),
    status: Object.keys(totals.containers).filter(Boolean).sort(),
  };
}

/** Fills a list of proposals, which only grows. */
function proposed(list) {
  const has = new Set();
  return (words) => {
    const fresh = [...new Set(words)].filter((word) => word && !has.has(word));
    fresh.forEach((word) => has.add(word));
    list.append(...fresh.map((value) => el("option", { value })));
  };
}

function labelled(name, ...inputs) {
  return el("label", { class: "field" }, el("span", {}, t(`filter.${name}`)), ...inputs);
}

function input(name, attributes = {}) {
  const list = el("datalist", { id: `proposed-${name}` });
  const node = el("input", { name, maxlength: 255, autocomplete: "off", spellcheck: "false", list: list.id, ...attributes });
  // Whoever types a proposal may mean a longer word.
  const picks = (event) => !TYPED.test(event.inputType) && [...list.options].some((option) => option.value === node.value);
  return { node, list, picks, propose: proposed(list) };
}

/** A part of a name, looked for whenever the typing rests. */
export function search(name, choose) {
  let timer = null;
  const tell = () => choose({ [name]: node.value.trim() });
  const typed = () => {
    clearTimeout(timer);
    timer = setTimeout(tell, RESTS_MS);
  };
  const node = el("input", { name, type: "search", maxlength: 255, "data-search": true, autocomplete: "off", spellcheck: "false", oninput: typed });
  const field = labelled(name, node);
  field.show = (now) => {
    if (now[name] !== node.value.trim()) node.value = now[name];
  };
  return field;
}

/** A whole name: one of the proposals at once, another one by Enter or when the field is left. */
export function exact(name, choose, attributes) {
  let shown = "";
  const tell = () => {
    const value = node.value.trim();
    if (value === shown) return;
    shown = value;
    choose({ [name]: value });
  };
  const { node, list, picks, propose } = input(name, { ...attributes, onchange: tell, oninput: (event) => picks(event) && tell() });
  const field = labelled(name, node, list);
  field.show = (now) => {
    shown = now[name];
    if (shown !== node.value.trim()) node.value = shown;
  };
  field.propose = propose;
  return field;
}

/** One of some words, or any. */
export function choice(name, choose, words, textOf = (word) => word) {
  const node = el("select", { name, onchange: () => choose({ [name]: node.value }) }, el("option", { value: "" }, t("filter.any")));
  const has = new Set([""]);
  const field = labelled(name, node);
  field.propose = (more) => {
    [...new Set(more)].filter((word) => !has.has(word)).forEach((word) => {
      has.add(word);
      node.append(el("option", { value: word }, textOf(word)));
    });
  };
  field.show = (now) => {
    field.propose([now[name]]);
    node.value = now[name];
  };
  field.propose(words);
  return field;
}

/** Any number of tags, all of which a host must have. */
export function tags(choose) {
  let chosen = [];
  const add = () => {
    const tag = node.value.trim();
    node.value = "";
    if (tag && !chosen.includes(tag)) choose({ tag: [...chosen, tag] });
  };
  const entered = (event) => event.key === "Enter" && !event.isComposing && add();
  const { node, list, picks, propose } = input("tag", { maxlength: 64, onchange: add, onkeydown: entered, oninput: (event) => picks(event) && add() });
  const chips = el("ul", { class: "tags", "aria-label": t("filter.tag") });
  const leave = (tag) => {
    node.focus();
    choose({ tag: chosen.filter((one) => one !== tag) });
  };
  const chip = (tag) => el("li", {}, el("button", { type: "button", "aria-label": t("filter.tag.leave", { tag }), onclick: () => leave(tag) }, `${tag} ×`));
  const field = el("div", { class: "field" }, labelled("tag", node, list), chips);
  field.show = (now) => {
    chosen = now.tag;
    keyed(chips, chosen, (tag) => tag, chip, () => {});
    chips.hidden = chosen.length === 0;
  };
  field.propose = propose;
  return field;
}

/**
 * All the fields of a list: some always there, the others in a part that folds and is open where there is room. Fields
 * have the names of the state they stand for.
 */
export function filters(always, folded, usual, choose) {
  const fields = { ...always, ...folded };
  const none = Object.fromEntries(Object.keys(fields).map((name) => [name, usual[name]]));
  const clear = el("button", { type: "button", onclick: empty }, t("filter.clear"));
  const summary = el("summary");
  const open = matchMedia("(min-width: 60rem)").matches;
  const tools = el("div", { class: "tools" }, ...Object.values(folded), clear);
  const part = el("details", { class: "filters", open }, summary, tools);
  const node = el("div", { role: "search" }, ...Object.values(always), part);
  function empty() {
    summary.focus();
    choose(none);
  }
  node.count = (now) => Object.keys(none).filter((name) => `${now[name]}` !== `${none[name]}`).length;
  /** What stands there instead of a list when nothing fits. */
  node.unfit = (words) => {
    const press = el("button", { type: "button", onclick: empty }, t("filter.clear"));
    return el("div", { class: "empty", hidden: true }, el("p", {}, t(words)), press);
  };
  node.show = (now) => {
    const count = node.count(now);
    say(summary, count ? t("filter.count", { count }) : t("filter"));
    clear.hidden = count === 0;
    Object.values(fields).forEach((field) => field.show(now));
  };
  node.propose = (all) => Object.entries(all).forEach(([name, words]) => fields[name]?.propose?.(words));
  return node;
}
