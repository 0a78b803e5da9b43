// Asks this server's API: envelopes in, data out. Knows the token of whoever looks.

import { told } from "./words.js";

const TOKEN = "resource-monitor-token";
const UNTIL = `${TOKEN}-until`;
const ROLE = `${TOKEN}-role`;

/** An answer other than success, or none at all (`status` 0); `after`: the seconds that it asks to wait, else 0. */
export class Refusal extends Error {
  constructor(status, code, message, after = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.after = after;
  }

  /** Whether the same would be answered however often it is asked; what has no code of ours may be a proxy's. */
  get final() {
    return ["FORBIDDEN", "NOT_FOUND", "VALIDATION"].includes(this.code);
  }
}

/** A sign-in lasts as long as the tab; a wall screen's read token as long as the browser. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? localStorage.getItem(TOKEN),
  /** Keeps what a sign-in was answered. */
  signedIn({ access_token: value, expires_in: seconds, role }) {
    sessionStorage.setItem(TOKEN, value);
    sessionStorage.setItem(UNTIL, Date.now() + seconds * 1000);
    sessionStorage.setItem(ROLE, role);
  },
  /** `admin` or `viewer` of whoever has signed in, `read` of a screen, null of nobody. */
  role: () => (sessionStorage.getItem(TOKEN) ? sessionStorage.getItem(ROLE) : token.get() && "read"),
  signedOut: () => [TOKEN, UNTIL, ROLE].forEach((name) => sessionStorage.removeItem(name)),
  keep: (value) => localStorage.setItem(TOKEN, value),
  forget() {
    token.signedOut();
    localStorage.removeItem(TOKEN);
  },
  /** Whether the sign-in has expired, as this very clock counted since then. */
  over: () => sessionStorage.getItem(TOKEN) !== null && Date.now() >= Number(sessionStorage.getItem(UNTIL)),
};

async function send(method, address, { body, headers, signal } = {}) {
  const shown = token.get();
  const sent = { Accept: "application/json", ...(shown && { Authorization: `Bearer ${shown}` }), ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const options = { method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body) };
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "UNREACHABLE", error.message);
  }
}

let refreshing = null;

/** Gets another sign-in by the cookie, once for all that wait for it; false if there is none. */
function refresh() {
  refreshing ??= renewed().finally(() => (refreshing = null));
  return refreshing;
}

async function renewed() {
  const answer = await send("POST", "/api/login/refresh");
  const envelope = await answer.json().catch(() => null);
  if (answer.ok && envelope) {
    token.signedIn(envelope.data);
    return true;
  }
  // Nobody is signed in, or nobody can be; while the server is in trouble that is not known, and nobody is sent away.
  if (![401, 403].includes(answer.status) && envelope?.resultCode !== "NOT_CONFIGURED") throw refusal(answer, envelope);
  token.signedOut();
  return false;
}

/** Leads to the page that signs people in, and from there back to here; `why` ("token", "over"): what ended, if anything did. */
export function signIn(why) {
  if (location.pathname === "/login") return;
  location.replace(address("/login", { next: location.pathname + location.search, why }));
}

/** `lead: false`: whoever asks makes something of a 401 themselves. */
async function answered(method, address, options) {
  if (options?.lead === false) return send(method, address, options);
  const before = token.get();
  // Not only once it is refused: where a token is not asked for, one that expired is none, and an admin nobody.
  if (token.over()) await refresh();
  let answer = await send(method, address, options);
  if (answer.status !== 401) return answer;
  if ((await refresh()) || token.get()) answer = await send(method, address, options);
  if (answer.status === 401) signIn(token.role() === "read" ? "token" : before && "over");
  return answer;
}

/** An address with parameters; those without a value are left out. */
export function address(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  return given.length ? `${path}?${query}` : path;
}

/** Asks; gives `{data, message, headers}`. Throws a Refusal. */
export async function ask(method, path, parameters, options) {
  const answer = await answered(method, address(path, parameters), options);
  if (answer.status === 204) return { data: null, message: "", headers: answer.headers };
  const envelope = await answer.json().catch(() => null);
  if (!envelope?.success) throw refusal(answer, envelope);
  return { data: envelope.data, message: envelope.resultMessage, headers: answer.headers };
}

/** Where the page after an answer's is; null after the last. */
const following = (headers) => /<([^>]*)>; rel="next"/.exec(headers.get("Link") ?? "")?.[1] ?? null;

/** The cursor of that page. */
export function cursor(headers) {
  const next = following(headers);
  return next && new URL(next, location.origin).searchParams.get("cursor");
}

function refusal(answer, envelope) {
  const after = Number(answer.headers.get("Retry-After")) || 0;
  const code = envelope?.resultCode ?? "UNKNOWN";
  return new Refusal(answer.status, code, told(code, envelope?.resultMessage ?? answer.statusText), after);
}

/** What is at a path. */
export const get = async (path, parameters, options) => (await ask("GET", path, parameters, options)).data;

let mode = null;

/** The server's `[security] mode`, asked for once; null while it does not tell. */
export async function securityMode() {
  mode ??= (await get("/health", {}, { lead: false }).catch(() => null))?.security ?? null;
  return mode;
}

/** What is at a path as a file of some type: `{name, body}`. Throws a Refusal, also where the file ends before its end. */
export async function file(path, parameters, type) {
  const answer = await answered("GET", address(path, parameters), { headers: { Accept: type } });
  if (!answer.ok) throw refusal(answer, await answer.json().catch(() => null));
  const [, name] = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition")) ?? [null, "download"];
  const body = await answer.blob().catch((error) => {
    throw new Refusal(0, "CUT", error.message);
  });
  return { name, body };
}

/** The whole of a list that is given in pages. */
export async function whole(path, parameters) {
  const found = [];
  for (let next = address(path, parameters); next; ) {
    const { data, headers } = await ask("GET", next);
    found.push(...data);
    next = following(headers);
  }
  return found;
}
