// What every page has around it: the line that says how fresh it is, the switches, the keys.

import { ask, get, token } from "./api.js";
import { closer, dialog } from "./dialog.js";
import { el, say } from "./dom.js";
import { every, watch } from "./loop.js";
import { language, moment, t, zone } from "./words.js";

const YEAR_S = 31_536_000;
const THEMES = ["", "light", "dark"];
const LANGUAGES = { en: "English", ko: "한국어" };
const PULSE_S = 10;
const PAGES = ["/", "/containers", "/events", "/compare", "/agents", "/storage"];

export const page = document.getElementById("page");
const line = document.getElementById("state");

function remember(name, value) {
  document.cookie = `${name}=${value}; path=/; max-age=${value ? YEAR_S : 0}; samesite=strict`;
}

// ---- How fresh what is shown is

let fresh = null;
const failures = new Map();

function tellState() {
  const [failed] = failures.values();
  const state = failed ? "away" : fresh ? "live" : "loading";
  line.dataset.state = state;
  if (state === "live") say(line, t("state.live", { time: moment(new Date(fresh).toISOString()) }));
  if (state === "away") say(line, since(failed));
}

function since(error) {
  if (error.status === 403) return t("state.forbidden", { message: error.message });
  const words = error.status === 0 ? t("state.unreachable") : t(error.final ? "state.final" : "state.refused", { message: error.message });
  return fresh ? `${words} ${t("state.stale", { time: moment(new Date(fresh).toISOString()) })}` : words;
}

watch(({ loop, at, error }) => {
  fresh = at ?? fresh;
  if (error) failures.set(loop, error);
  else failures.delete(loop);
  line.setAttribute("aria-live", failures.size ? "assertive" : "off");
  tellState();
  out.hidden = !token.get();
});

/** Whether the server is still there, on a page that has not asked it for a while. */
every(PULSE_S, async () => {
  if (fresh && Date.now() - fresh > PULSE_S * 1000) await get("/health/live");
  return false;
});

/** Leaves of a page what there is to say of a thing that is not there, and throws the refusal on as any other. */
export function lost(error) {
  const away = el("a", { href: "/" }, t("missing.fleet"));
  if (error.code === "NOT_FOUND") page.replaceChildren(page.querySelector("h1"), el("p", { class: "empty" }, t("missing.host"), " ", away));
  throw error;
}

// ---- Switches

function themeButton() {
  const current = () => document.documentElement.dataset.theme ?? "";
  const button = el("button", { type: "button", id: "theme", onclick: turn });
  function turn() {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    remember("theme", next);
    dispatchEvent(new Event("themechange"));
    label();
  }
  const label = () => say(button, t(`theme.${current() || "system"}`));
  label();
  return button;
}

function languageButton() {
  const other = Object.keys(LANGUAGES).find((one) => one !== language);
  const change = () => {
    remember("language", other);
    location.reload();
  };
  return el("button", { type: "button", id: "language", lang: other, onclick: change }, LANGUAGES[other]);
}

async function signOut() {
  try {
    await ask("POST", "/api/login/logout", {}, { lead: false });
  } catch (error) {
    line.hidden = false;
    line.dataset.state = "away"; // the cookie would sign in again: nobody is to believe they had gone
    say(line, t("sign.out.failed", { message: error.message }));
    return;
  }
  token.forget();
  location.assign("/login");
}

const keysButton = el("button", { type: "button", id: "keys", onclick: showKeys, "aria-label": t("keys.title") }, "?");
const out = el("button", { type: "button", id: "sign-out", hidden: !token.get(), onclick: signOut }, t("sign.out"));
document.getElementById("switches").append(themeButton(), languageButton(), keysButton, out);
document.getElementById("zone").textContent = t("time.zone", { zone });

// ---- Keys

function showKeys() {
  const keys = [["/", "keys.search"], ["?", "keys.show"], ["t", "keys.theme"], ["Esc", "keys.close"]];
  const places = PAGES.map((path, index) => [`${index + 1}`, `keys.${path}`]);
  const rows = [...keys, ...places].map(([key, name]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, t(name))]);
  dialog(t("keys.title"), el("dl", {}, ...rows), closer(t("close"), { autofocus: true }));
}

function pressed(event) {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  const place = PAGES[Number(event.key) - 1];
  const does = {
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": showKeys,
    t: () => document.getElementById("theme").click(),
  }[event.key] ?? (place && (() => location.assign(place)));
  if (!does) return;
  event.preventDefault();
  does();
}

addEventListener("keydown", pressed);
